/**
 * Decides the order of a new pack: as a clone walks the history, the newest commit first.
 *
 * @module
 */

import { rootCommits } from "../../db/history/marks.ts";
import {
  MOVED_KINDS,
  movedSnapshots,
  moveIds,
  moveRest,
  moveSnapshots,
  type Repack,
} from "../../db/history/moves.ts";
import { HistoryError } from "../../errors.ts";
import { scanSnapshots } from "../../history/select/scan_snapshots.ts";
import { walkDifference } from "../../history/walk_difference.ts";
import { DigestSet } from "../../lib/digest_set.ts";
import type { RepackOptions } from "./repack_options.ts";

const PAGE_SNAPSHOTS = 500;
/** Objects remembered, so that most are looked up once. About 8 MiB. */
const NOTED_IDS = 100_000;
const IDS_PER_STATEMENT = 5_000;
const ASCII = new TextDecoder();
/** Nothing is as young as that. */
const NEVER = "9999-01-01T00:00:00Z";

/**
 * Plans the rows of a new pack. What no branch or tag reaches comes last, as it lies. A history that
 * cannot be walked is packed as it lies.
 */
export async function planMoves(options: RepackOptions, run: Repack): Promise<void> {
  try {
    await walk(options, run);
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
  }
  for (const kind of MOVED_KINDS) await moveRest(options.db, run, kind);
}

async function walk({ db, store, signal }: RepackOptions, run: Repack): Promise<void> {
  const { repoId } = run;
  const want = await rootCommits(db, { repoId, walkId: "", before: NEVER });
  let after = 0;
  for await (const { commits } of walkDifference({ db, repoId, want, have: [], signal })) {
    await moveIds(db, run, "commit", { ids: commits.map(({ commitId }) => commitId), after });
    after += commits.length;
  }
  await moveSnapshots(db, run);

  let noted = new DigestSet(), ids: string[] = [];
  after = 0;
  const flush = async () => {
    for (let at = 0; at < ids.length; at += IDS_PER_STATEMENT) {
      const page = ids.slice(at, at + IDS_PER_STATEMENT);
      await moveIds(db, run, "object", { ids: page, after });
      after += page.length;
    }
    ids = [];
  };
  const visit = (bytes: Uint8Array, from: number, to: number) => {
    if (noted.add(bytes, from, to)) ids.push(ASCII.decode(bytes.subarray(from, to)));
  };
  for (let last = 0;;) {
    signal.throwIfAborted();
    const rows = await movedSnapshots(db, run, { after: last, limit: PAGE_SNAPSHOTS });
    for await (const _ of scanSnapshots({ db, store, repoId, rows, visit, signal })) {
      if (noted.size < NOTED_IDS) continue;
      await flush();
      noted = new DigestSet();
    }
    await flush();
    if (rows.length < PAGE_SNAPSHOTS) return;
    last = rows[rows.length - 1].place;
  }
}
