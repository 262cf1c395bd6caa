/**
 * Commands that go over the catalog and all its shards.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { askShards } from "../../db/shards/ask_shards.ts";
import type { ShardToOpen } from "../../db/shards/shard_pools.ts";
import { ConfigError, DatabaseError } from "../../errors.ts";
import { tellUnreachable } from "../output.ts";
import type { OpenedDatabase } from "../resources.ts";

/** For the option `--shard`. */
export const SHARD_OPTION = [
  "--shard <name>",
  "only this shard, or catalog. Default: all",
] as const;

/** A list may take so long in a shard that is there. */
const LIST_DEADLINE_MS = 10_000;

/** How to go over shards. */
interface OverShards {
  /** The name that `--shard` gives. */
  readonly shard?: string;
}

/**
 * The shards that a command is for.
 *
 * @throws {ConfigError} If there is none of that name.
 */
export async function chooseShards(
  { shards }: Pick<OpenedDatabase, "shards">,
  { shard }: OverShards,
): Promise<ShardToOpen[]> {
  const all = await shards.all();
  if (shard === undefined) return all;
  const chosen = all.filter(({ name }) => name === shard);
  if (chosen.length > 0) return chosen;
  const names = all.map(({ name }) => name).join(", ");
  const there = all.length === 1 ? `there is only the ${names}` : `there are ${names}`;
  throw new ConfigError(`Cannot find shard ${shard}: ${there}`);
}

/** Asks the chosen shards at once, and names on stderr those that do not answer. */
export async function askAll<Answer>(
  opened: Pick<OpenedDatabase, "shards">,
  options: OverShards & { readonly deadlineMs?: number },
  ask: (db: Database, shard: ShardToOpen) => Promise<Answer>,
): Promise<{ readonly answers: readonly Answer[]; readonly unreachable: readonly string[] }> {
  const { deadlineMs = LIST_DEADLINE_MS } = options;
  const chosen = await chooseShards(opened, options);
  const { answers, unreachable } = await askShards(chosen, ask, { deadlineMs });
  tellUnreachable(unreachable);
  return { answers: answers.map(({ answer }) => answer), unreachable };
}

/** Looks for something in the chosen shards at once; what the catalog has comes first. */
export async function findInShards<Answer>(
  opened: Pick<OpenedDatabase, "shards">,
  look: (db: Database, shard: ShardToOpen) => Promise<Answer | undefined>,
  options: OverShards = {},
): Promise<
  {
    readonly found: readonly { readonly db: Database; readonly answer: Answer }[];
    readonly unreachable: readonly string[];
  }
> {
  const { answers, unreachable } = await askAll(opened, options, async (db, shard) => {
    const answer = await look(db, shard);
    return answer === undefined ? [] : [{ db, answer }];
  });
  return { found: answers.flat(), unreachable };
}

/** The error of what was not found where all shards that answer have looked. */
export function notEverywhere(what: string, unreachable: readonly string[]): DatabaseError {
  return new DatabaseError(
    `${what}: it is in no shard that answers, and ${unreachable.join(", ")} ` +
      `${unreachable.length === 1 ? "does" : "do"} not ("mpackd shard list" says why)`,
  );
}

/** The member of a JSON document that names who did not answer; none if all did. */
export function unreachableJson(names: readonly string[]) {
  return names.length === 0 ? {} : { unreachable: names };
}

/**
 * Does something in one chosen shard after the other.
 *
 * @throws What the first one that failed threw, after the others were done.
 */
export async function inEachShard<Answer>(
  opened: Pick<OpenedDatabase, "shards">,
  options: OverShards,
  work: (db: Database, shard: ShardToOpen) => Promise<Answer>,
): Promise<Answer[]> {
  const done: Answer[] = [], failures: unknown[] = [];
  for (const shard of await chooseShards(opened, options)) {
    try {
      done.push(await work(await shard.open(), shard));
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return done;
}
