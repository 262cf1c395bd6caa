import { findHome } from "../../db/shards/catalog.ts";
import { ensureCopy } from "../../db/shards/create_repo.ts";
import type { Repo } from "../../db/repos.ts";
import type { RepoHome } from "../../db/shards/shard.ts";
import { ShardMovedError } from "../../errors.ts";
import { sleep } from "../../lib/sleep.ts";
import type { ApiContext } from "../context.ts";

/** How long a move may go unnoticed: its fence refuses what is written meanwhile. */
const LIST_AGE_MS = 1_000;
const POLL_MS = 200;

/**
 * Waits, before a push, until the shard that it goes to is not being moved: that takes seconds, and a
 * body that has been read cannot be sent elsewhere.
 *
 * @returns Where the repo is then.
 * @throws {ShardMovedError} If the move takes longer than `httpWaitMs`.
 */
export async function untilMoved(
  { catalog: { shards, config } }: ApiContext,
  home: RepoHome,
  request: Pick<Request, "signal">,
): Promise<RepoHome> {
  const deadline = performance.now() + config.httpWaitMs;
  for (let maxAgeMs = LIST_AGE_MS;; maxAgeMs = 0) {
    const all = await shards.all({ maxAgeMs });
    const shard = all.find(({ name }) => name === home.shard)?.shard;
    if (shard?.state !== "moving") {
      return { shard: home.shard, version: Math.max(home.version, shard?.version ?? 0) };
    }
    if (performance.now() >= deadline) {
      throw new ShardMovedError(`Cannot push: shard ${home.shard} is being moved; try again`);
    }
    await sleep(POLL_MS, request.signal);
  }
}

/** What `whereItLives()` works on. */
export interface Moving {
  /** Where the repo was when it was looked up. */
  readonly place: ApiContext;
  readonly repo: Repo;
  readonly request: Pick<Request, "signal">;
  /** Whether it can be done once more. Default: it can. */
  readonly mayRepeat?: () => Promise<boolean>;
}

/**
 * Writes something of a repo and, if the repo is being moved meanwhile, once more where it is then.
 *
 * @param work Has written nothing if it throws a {@link ShardMovedError}.
 * @throws {ShardMovedError} If the move takes longer than `httpWaitMs`.
 */
export async function whereItLives<T>(
  { place, repo, request, mayRepeat = () => Promise.resolve(true) }: Moving,
  work: (place: ApiContext) => Promise<T>,
): Promise<T> {
  const { catalog } = place, deadline = performance.now() + catalog.config.httpWaitMs;
  for (let now = place;;) {
    try {
      return await work(now);
    } catch (error) {
      const isInTime = error instanceof ShardMovedError && performance.now() < deadline;
      if (!isInTime || !await mayRepeat()) throw error;
    }
    await sleep(POLL_MS, request.signal);
    const found = await findHome(catalog.db, repo.repoId);
    if (found?.home === undefined) now = catalog;
    else {
      const home = await untilMoved(catalog, found.home, request);
      await ensureCopy(catalog.shards, { ...repo, home });
      now = await catalog.at(home);
    }
  }
}
