/**
 * Routes for objects: filter the ones a repo lacks, read one, read many.
 *
 * @module
 */

import { filterMissing } from "../../objects/ghosts.ts";
import { notFound } from "../../objects/locate_object.ts";
import { findObjects } from "../object_pack.ts";
import { HttpProblem } from "../problem.ts";
import { encodeIdList } from "../body/id_lists.ts";
import { distinct } from "../../lib/sleep.ts";
import { acceptedCodec, replyEncoded } from "../reply.ts";
import { sendObject, SENT_OBJECT } from "../send_object.ts";
import { type Route, route, tagged } from "../route.ts";
import { MissingAnswer, NoQuery, ObjectIdsBody, ObjectPath, RepoPath } from "../schemas.ts";
import { cutSlowReader } from "../slow_reader.ts";
import { X_MSGPACK } from "../body/body.ts";

/** Ids listed in one problem. */
const MAX_NAMED = 1_000;

const filter = route({
  method: "POST",
  path: "/{owner}/{slug}/filter-objects",
  id: "filterObjects",
  summary: "List which of these objects the repo lacks: a push must bring them.",
  access: "read",
  params: RepoPath,
  query: NoQuery,
  body: ObjectIdsBody,
  idLists: true,
  answers: { 200: { description: "The ids it lacks, each once", schema: MissingAnswer } },
  async handle({ request, body, repo, context }) {
    const { db } = context, { repoId } = repo;
    const missing = await filterMissing({ db, repoId, objectIds: body.object_ids });
    const codec = acceptedCodec(request);
    const headers = { vary: "accept" };
    return replyEncoded(await encodeIdList("missing", missing, codec), codec, { headers });
  },
});

const one = route({
  method: "GET",
  path: "/{owner}/{slug}/objects/{objectId}",
  id: "readObject",
  summary: "Read one object, checked against its id. HEAD sends only the headers.",
  access: "read",
  params: ObjectPath,
  query: NoQuery,
  ...SENT_OBJECT,
  handle: (call) => sendObject(call, call.params.objectId),
});

const many = route({
  method: "POST",
  path: "/{owner}/{slug}/objects",
  id: "readObjects",
  summary:
    "Read many objects as one pack, `{objects: [{object_id, content}, …]}`, in order, once each.",
  access: "read",
  params: RepoPath,
  query: NoQuery,
  body: ObjectIdsBody,
  idLists: true,
  answers: {
    200: { description: "The objects; cut short if one cannot be read", mediaType: X_MSGPACK },
  },
  async handle({ body, repo, context, sending }) {
    const { db, store, force: signal } = context, { repoId } = repo;
    const objectIds = [...await distinct(body.object_ids)];
    const { maxContentBytes } = context.config;
    const asked = { db, store, repoId, objectIds, maxContentBytes, signal };
    const { missing, damaged, pack } = await findObjects(asked);
    if (missing.length > 0) {
      throw new HttpProblem(404, "object-not-found", notFound(missing[0]).message, {
        members: { missing: missing.slice(0, MAX_NAMED), missing_count: missing.length },
      });
    }
    if (damaged !== undefined) throw damaged;
    const headers = { "content-type": X_MSGPACK };
    return { status: 200, headers, body: cutSlowReader(pack(), sending) };
  },
});

export const objectRoutes: readonly Route[] = tagged("Objects", [filter, one, many]);
