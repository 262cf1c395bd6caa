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
  signal: AbortSignal,
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
    await sleep(POLL_MS, signal);
  }
}
