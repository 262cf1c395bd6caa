/**
 * Looks at everything that mpackd relies on, as a newcomer or an engineer on call would.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Database } from "../../db/client/database.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { type Check, guarded } from "./check.ts";
import { checkDisk, checkRuntime } from "./check_machine.ts";
import { checkServer } from "./check_server.ts";
import { checkStore } from "./check_store.ts";
import { checkTables } from "./check_tables.ts";

/** What to look at. */
export interface DoctorOptions {
  /** Opens the database; an error of it is a failed check. */
  readonly openDatabase: () => Promise<Database>;
  /** Opens the store; an error of it is a failed check. */
  readonly openStore: () => Promise<BlobStore>;
  /** The folder of the embedded database; undefined where another one is used. */
  readonly databaseFolder?: string;
  /** The most connections that a worker and a server of these settings open. */
  readonly connections: number;
  /** False to write nothing to the store. */
  readonly isWriting: boolean;
  readonly signal?: AbortSignal;
}

/** Runs all checks and yields what each found. What fails does not stop the others. */
export async function* examine(options: DoctorOptions): AsyncGenerator<Check, void, undefined> {
  const { connections, databaseFolder, isWriting, signal } = options;
  yield* checkRuntime();
  let db: Database | undefined, store: BlobStore | undefined;
  yield* guarded("database", async function* () {
    const opened = await options.openDatabase();
    yield* checkServer({ db: opened, connections });
    db = opened;
    yield* checkTables(db);
  });
  if (databaseFolder !== undefined) yield* checkDisk("database disk", databaseFolder);
  yield* guarded("store", async function* () {
    store = await options.openStore();
    yield* checkStore({ store, db, isWriting, signal });
  });
  if (store?.url.startsWith("file:")) yield* checkDisk("store disk", fileURLToPath(store.url));
}
