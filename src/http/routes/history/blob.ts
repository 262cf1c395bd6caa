/**
 * The route that sends a file of a commit.
 *
 * @module
 */

import { readManifest } from "../../../history/read_manifest.ts";
import { isObjectId } from "../../../lib/ids.ts";
import { nextTurn } from "../../../lib/sleep.ts";
import { HttpProblem } from "../../problem.ts";
import { type Call, type Route, route } from "../../route.ts";
import { NoQuery } from "../../schemas.ts";
import { sendObject, SENT_OBJECT } from "../../send_object.ts";
import { findCommit } from "./find_commit.ts";
import { TreePath } from "./schemas.ts";

/** Entries of a manifest between two turns of the event loop: some 5 ms. */
const TURN_ENTRIES = 5_000;

const blob = route({
  method: "GET",
  path: "/{owner}/{slug}/blob/{commit}/{path}",
  id: "readFile",
  summary: "Read a file of a commit, or of a branch's head. HEAD sends only the headers.",
  access: "read",
  params: TreePath,
  query: NoQuery,
  ...SENT_OBJECT,
  async handle(call) {
    const { commit, path } = call.params;
    const { snapshotId } = await findCommit(commit, call);
    const objectId = await objectAt(call, { snapshotId, path });
    // A branch moves.
    return await sendObject(call, objectId, isObjectId(commit) ? undefined : "no-cache");
  },
});

export const blobRoutes: readonly Route[] = [blob];

async function objectAt(
  { repo: { repoId }, context: { db, store, force: signal } }: Pick<Call, "repo" | "context">,
  { snapshotId, path }: { readonly snapshotId: string; readonly path: string },
): Promise<string> {
  let seen = 0;
  for await (const [file, objectId] of readManifest({ db, store, repoId, snapshotId, signal })) {
    if (file === path) return objectId;
    if (++seen % TURN_ENTRIES === 0) await nextTurn();
  }
  const detail = `Cannot find a file ${JSON.stringify(path.slice(0, 100))} in this commit`;
  throw new HttpProblem(404, "history-not-found", detail);
}
