/**
 * A move of a shard in whose middle a server fails over, while clients write.
 *
 * @module
 */

import assert from "node:assert/strict";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { MpackdError } from "../../../src/errors.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import type { MoveStepName, MoveSummary } from "../../../src/maintenance/shards/move_options.ts";
import { moveShard } from "../../../src/maintenance/shards/move_shard.ts";
import { addRepos } from "../postgres/database.ts";
import { leftOf } from "./left.ts";
import { RoutedShard } from "./routed.ts";
import { openShardedCatalog, type Place } from "./two_servers.ts";

const ROWS = 2_000;
const WRITERS = 2;

/** A move, and what happens in its middle. */
export interface FailingMove {
  readonly catalog: Place;
  readonly first: Place;
  readonly second: Place;
  /** The step before which a server fails over. */
  readonly step: MoveStepName;
  readonly fail: () => Promise<void>;
}

/** Moves a shard; what was acknowledged is there once, and nothing of the move is left. */
export async function moveAmongFailure(
  { step: when, fail, ...places }: FailingMove,
): Promise<{ readonly steps: readonly MoveStepName[]; readonly summary: MoveSummary }> {
  await using test = await openShardedCatalog(places);
  const source = await test.openShard();
  await addRepos(source, "r1");
  await source.sql`insert into musehub_mpacks (repo_id, mpack_key)
    select 'r1', 'sha256:' || lpad(n::text, 64, '0') from generate_series(1, ${ROWS}::int) n`;
  const shard = new RoutedShard(test), stop = new AbortController(), written: string[] = [];
  const writers = Array.from({ length: WRITERS }, (_, i) =>
    keepWriting(shard, {
      name: `w${i}`,
      written,
      signal: stop.signal,
    }));
  const wrote = Promise.all(writers).then(() => undefined, (error: Error) => error);
  const steps: MoveStepName[] = [];
  const options = test.moveOptions({
    async onProgress({ step }) {
      if (step === "abort" || steps.at(-1) === step) return;
      const isFirst = !steps.includes(step);
      steps.push(step);
      if (step === when && isFirst) await fail();
    },
  });
  const summary = await moveShard(options).finally(() => stop.abort());
  const wrong = await wrote;
  if (wrong !== undefined) throw wrong;
  const moved = await test.openShard();
  // Their statements without retries find the primary then.
  for (const db of [source, moved]) await db.query("find the primary")`select`;
  assert.equal((await findShard(test.catalog, "s1"))!.url, test.newUrl);
  const rows = await moved.sql<{ key: string }[]>`
    select mpack_key as key from musehub_mpacks where mpack_key not like 'sha256:0%' order by 1`;
  assert.deepEqual(rows.map(({ key }) => key), [...written].sort());
  const [{ count }] = await moved.sql`select count(*)::int as count from musehub_mpacks`;
  assert.equal(count, ROWS + written.length);
  assert.deepEqual(await leftOf(moved), []);
  // Its pause; a stale process cannot write.
  assert.equal((await leftOf(source)).length, 1);
  await assert.rejects(addRepos(source, "r2"), { code: "MPS01" });
  return { steps, summary };
}

async function keepWriting(
  shard: RoutedShard,
  { name, written, signal }: {
    readonly name: string;
    readonly written: string[];
    readonly signal: AbortSignal;
  },
): Promise<void> {
  for (let n = 0; !signal.aborted; n++) {
    const key = `${name} ${n}`;
    for (;;) {
      try {
        await shard.do((db) =>
          db.query("write")`insert into musehub_mpacks (repo_id, mpack_key) values ('r1', ${key})
            on conflict do nothing`
        );
        break;
      } catch (error) {
        if (!(error instanceof MpackdError && error.retryable)) throw error;
        await sleep(50);
      }
    }
    written.push(key);
    await sleep(5);
  }
}
