/**
 * Reading objects back, and asking which ones a repo lacks. Every content is hashed and compared
 * with its id before its last bytes are handed out.
 *
 * @example Ask what a repo lacks, then read all that it has
 * ```ts
 * import { connectDatabase, createRepo, migrate, openStore } from "@mpackd/mpackd";
 * import { filterMissing, readObjects } from "@mpackd/mpackd/objects";
 * import assert from "node:assert/strict";
 *
 * const db = connectDatabase(Deno.env.get("DATABASE_URL")!, { maxConnections: 2 });
 * await migrate(db);
 * const { repo } = await createRepo(db, { owner: "ada", slug: "notes" });
 * const store = openStore(`file://${await Deno.makeTempDir()}`);
 *
 * const objectId = `sha256:${"0".repeat(64)}`;
 * const missing = await filterMissing({ db, repoId: repo.repoId, objectIds: [objectId] });
 * assert.deepEqual(missing, [objectId]);
 *
 * for await (const object of readObjects({ db, store, repoId: repo.repoId })) {
 *   for await (const chunk of object.chunks()) console.log(object.objectId, chunk.length);
 * }
 * await db.close();
 * ```
 *
 * @module
 */

export type { ObjectLocation } from "./src/db/refs.ts";
export { filterMissing, findGhosts, type GhostOptions } from "./src/objects/ghosts.ts";
export { guardMpack, type GuardMpackOptions, type GuardResult } from "./src/objects/guard_mpack.ts";
export { locateObject } from "./src/objects/locate_object.ts";
export {
  type ByteRange,
  type ObjectContent,
  readLocated,
  type ReadLocatedOptions,
  readObject,
  type ReadObjectOptions,
} from "./src/objects/read_object.ts";
export {
  type ObjectEntry,
  readObjects,
  type ReadObjectsOptions,
} from "./src/objects/read_objects.ts";
