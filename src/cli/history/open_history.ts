/**
 * Opens a repo for the commands that show its history.
 *
 * @module
 */

import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import type { Database } from "../../db/client/database.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { CommandContext } from "../command.ts";
import { openBlobStore, openDatabase } from "../resources.ts";

/** A repo whose rows can be read. */
export interface OpenRefs extends AsyncDisposable {
  readonly db: Database;
  readonly repoId: string;
}

/** A repo whose records and objects can be read, too. */
export interface OpenHistory extends OpenRefs {
  readonly store: BlobStore;
}

/** Opens the repo that `--repo` names, without its store. */
export async function openRefs(context: CommandContext, repo: string): Promise<OpenRefs> {
  const name = parseRepoName(repo);
  const opened = await openDatabase(context.config(), { maxConnections: 2 });
  const close = () => opened[Symbol.asyncDispose]();
  try {
    const { repoId } = await resolveRepo(opened.db, name, { create: false });
    return { db: opened.db, repoId, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the repo that `--repo` names. */
export async function openHistory(context: CommandContext, repo: string): Promise<OpenHistory> {
  const store = await openBlobStore(context.config());
  const { db, repoId, [Symbol.asyncDispose]: close } = await openRefs(context, repo);
  return { db, repoId, store, [Symbol.asyncDispose]: close };
}
