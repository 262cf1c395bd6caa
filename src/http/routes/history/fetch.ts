/**
 * The route that sends commits with their snapshots and objects.
 *
 * @module
 */

import { type Branch, listBranches } from "../../../db/history/branches.ts";
import { planFetch, writeFetch } from "../../../history/fetch.ts";
import { distinct } from "../../../lib/sleep.ts";
import { X_MSGPACK } from "../../body/body.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { cutSlowReader } from "../../slow_reader.ts";
import { commitIds } from "./commit_ids.ts";
import { FetchBody } from "./schemas.ts";

/** MuseHub's client refuses a longer answer. */
const MAX_BYTES = 64 * 1024 * 1024;

const fetchRoute = route({
  method: "POST",
  path: "/{owner}/{slug}/fetch",
  id: "fetch",
  summary: "Fetch commits that a client lacks, with their snapshots and objects, as one mpack.",
  access: "read",
  params: RepoPath,
  query: NoQuery,
  body: FetchBody,
  idLists: true,
  isForMuse: true,
  answers: {
    200: {
      description: "{commits, snapshots, objects, branch_heads}; cut short if one cannot be read",
      mediaType: X_MSGPACK,
    },
  },
  problems: [422],
  async handle({ body, repo, context, sending }) {
    const { db, store, force: signal, config: { maxContentBytes } } = context, { repoId } = repo;
    const { want, have } = await commitIds(body);
    const maxBytes = body.max_bytes ?? MAX_BYTES;
    const plan = await planFetch({
      ...{ db, store, repoId, want, have },
      ...{ maxBytes, maxContentBytes, signal },
    });
    // Not all branches: the client has what these heads reach.
    const theirs = await distinct([...want, ...have]);
    const heads: Branch[] = [];
    for await (const branch of listBranches(db, repoId)) {
      if (theirs.has(branch.headCommitId)) heads.push(branch);
    }
    const source = ReadableStream.from(writeFetch(plan, heads, { freesBlocks: true }));
    const headers = { "content-type": X_MSGPACK };
    return { status: 200, headers, body: cutSlowReader(source, sending) };
  },
});

export const fetchRoutes: readonly Route[] = [fetchRoute];
