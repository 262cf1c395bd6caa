/**
 * Opens a repo for the commands that show its history.
 *
 * @module
 */

import type { Shard } from "../../db/shards/shard.ts";
import { openRepo } from "../shards/open_repo.ts";
import type { Database } from "../../db/client/database.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { CommandContext } from "../command.ts";
import { openDatabase, openStoreOf } from "../resources.ts";

/** A repo whose rows can be read. */
export interface OpenRefs extends AsyncDisposable {
  readonly db: Database;
  readonly shard: Shard | undefined;
  readonly repoId: string;
}

/** A repo whose records and objects can be read, too. */
export interface OpenHistory extends OpenRefs {
  readonly store: BlobStore;
}

/** Opens the repo that `--repo` names, without its store. */
export async function openRefs(context: CommandContext, repo: string): Promise<OpenRefs> {
  const opened = await openDatabase(context.config(), { maxConnections: 2 });
  const close = () => opened[Symbol.asyncDispose]();
  try {
    const { db, shard, repoId } = await openRepo(opened, repo);
    return { db, shard, repoId, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the repo that `--repo` names. */
export async function openHistory(context: CommandContext, repo: string): Promise<OpenHistory> {
  const refs = await openRefs(context, repo);
  try {
    return { ...refs, store: await openStoreOf(refs.shard, context.config()) };
  } catch (error) {
    await refs[Symbol.asyncDispose]();
    throw error;
  }
}
