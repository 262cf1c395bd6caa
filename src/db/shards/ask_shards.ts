/**
 * Asks several shards at once.
 *
 * @module
 */

import { ConfigError, DatabaseError } from "../../errors.ts";
import { withDeadline } from "../../lib/deadline.ts";
import type { Database } from "../client/database.ts";
import type { Shard } from "./shard.ts";
import type { ShardToOpen } from "./shard_pools.ts";

/** A shard that does not answer within this is left out. */
const DEADLINE_MS = 2_000;

/** One shard's answer. */
export interface ShardAnswer<Answer> {
  /** Its name, or `catalog`. */
  readonly name: string;
  /** Undefined: the catalog. */
  readonly shard: Shard | undefined;
  readonly answer: Answer;
}

/** A shard that gave no answer. */
export interface FailedShard {
  readonly name: string;
  readonly error: Error;
}

/** The answers, and who gave none. */
export interface ShardAnswers<Answer> {
  readonly answers: readonly ShardAnswer<Answer>[];
  /** The names of those that cannot be reached or did not answer in time. */
  readonly unreachable: readonly string[];
  /** Why, by name. */
  readonly failed: readonly FailedShard[];
}

/**
 * Asks all of these shards at once. One that cannot be used is named, and the others' answers count.
 * The catalog must answer, and an error that is no database's is thrown.
 */
export async function askShards<Answer>(
  shards: readonly ShardToOpen[],
  ask: (db: Database, shard: ShardToOpen) => Promise<Answer>,
  { deadlineMs = DEADLINE_MS }: { readonly deadlineMs?: number } = {},
): Promise<ShardAnswers<Answer>> {
  const failed: FailedShard[] = [];
  const asked = shards.map(async (each): Promise<ShardAnswer<Answer> | undefined> => {
    const { name, shard } = each;
    if (shard === undefined) return { name, shard, answer: await ask(await each.open(), each) };
    const late = () => new DatabaseError(`Cannot ask shard ${name}: no answer in ${deadlineMs} ms`);
    let isOpen = false;
    const answer = each.open().then((db) => {
      isOpen = true;
      return ask(db, each);
    });
    try {
      return { name, shard, answer: await withDeadline(answer, { deadlineMs, error: late }) };
    } catch (error) {
      const isAway = error instanceof DatabaseError || !isOpen && error instanceof ConfigError;
      if (!isAway) throw error;
      failed.push({ name, error });
      return undefined;
    }
  });
  const answers = (await Promise.all(asked)).filter((each) => each !== undefined);
  failed.sort((a, b) => a.name < b.name ? -1 : 1);
  return { answers, failed, unreachable: failed.map(({ name }) => name) };
}
