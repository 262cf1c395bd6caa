/**
 * The routes that show the files of a commit.
 *
 * @module
 */

import { trimEndOf } from "../../../lib/text/trim.ts";
import { readManifest } from "../../../history/read_manifest.ts";
import { comparePaths } from "../../../lib/record_ids.ts";
import { nextTurn } from "../../../lib/sleep.ts";
import { HttpProblem } from "../../problem.ts";
import { type Call, type Route, route } from "../../route.ts";
import type { RepoPath } from "../../schemas.ts";
import { isKnown, replyTagged } from "./conditional.ts";
import { findCommit } from "./find_commit.ts";
import { TreeAnswer, TreePath, TreeQuery } from "./schemas.ts";

/** Entries of a manifest between two turns of the event loop: some 5 ms. */
const TURN_ENTRIES = 5_000;

/** One name in a folder. */
interface Entry {
  readonly name: string;
  readonly type: "folder" | "file";
  readonly object_id?: string;
}

const root = tree("/{owner}/{slug}/tree/{commit}", "listRoot", TreePath.omit({ path: true }));
const folder = tree("/{owner}/{slug}/tree/{commit}/{path}", "listFolder", TreePath);

export const treeRoutes: readonly Route[] = [root, folder];

function tree(path: string, id: string, params: typeof RepoPath) {
  return route({
    method: "GET",
    path,
    id,
    summary: "List a folder of a commit, or of a branch's head, by name.",
    access: "read",
    params,
    query: TreeQuery,
    headers: {
      "if-none-match": { description: "An ETag; the answer is 304 if it is this folder's" },
    },
    answers: {
      200: { description: "The folder; the ETag is the commit's id", schema: TreeAnswer },
      304: { description: "The client has it already" },
    },
    async handle(call) {
      const { commit = "", path = "" } = call.params as { commit?: string; path?: string };
      const { commitId, snapshotId } = await findCommit(commit, call);
      const about = { commit_id: commitId, snapshot_id: snapshotId, path };
      const isCached = isKnown(call.request, commitId);
      if (isCached && path === "") return replyTagged(call, commitId, undefined);
      // The ETag is the commit's: it does not say that this folder is there.
      const query = isCached ? { limit: 1 } : call.query;
      const page = await pageOf(call, { snapshotId, path, ...query });
      return replyTagged(call, commitId, { ...about, ...page });
    },
  });
}

/** Reads one page of a folder; the manifest streams by, however long it is. */
async function pageOf(
  { repo: { repoId }, context: { db, store, force: signal } }: Pick<Call, "repo" | "context">,
  { snapshotId, path, after, limit }: {
    readonly snapshotId: string;
    readonly path: string;
    readonly after?: string;
    readonly limit: number;
  },
): Promise<{ entries: readonly Entry[]; next: string | null }> {
  const prefix = path === "" ? "" : `${trimEndOf(path, "/")}/`;
  const entries: Entry[] = [];
  let seen = 0, isThere = prefix === "";
  for await (const [file, objectId] of readManifest({ db, store, repoId, snapshotId, signal })) {
    if (++seen % TURN_ENTRIES === 0) await nextTurn();
    if (!file.startsWith(prefix)) {
      if (comparePaths(file, prefix) > 0) break;
      continue;
    }
    isThere = true;
    const [name, ...inside] = file.slice(prefix.length).split("/", 2);
    const isFolder = inside.length > 0, last = entries.at(-1);
    if (isFolder && last?.type === "folder" && last.name === name) continue;
    // Folders are in the order of `name/`, as their files are.
    if (after !== undefined && comparePaths(isFolder ? `${name}/` : name, after) <= 0) continue;
    if (entries.length === limit) return { entries, next: cursorOf(entries[limit - 1]) };
    entries.push(
      isFolder ? { name, type: "folder" } : { name, type: "file", object_id: objectId },
    );
  }
  if (isThere) return { entries, next: null };
  const detail = `Cannot find a folder ${JSON.stringify(path.slice(0, 100))} in this commit`;
  throw new HttpProblem(404, "history-not-found", detail);
}

function cursorOf({ name, type }: Entry): string {
  return type === "folder" ? `${name}/` : name;
}
