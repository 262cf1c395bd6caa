/**
 * Routes for objects: filter the ones a repo lacks, read one, read many.
 *
 * @module
 */

import type { ObjectLocation } from "../../db/refs.ts";
import { filterMissing } from "../../objects/ghosts.ts";
import { locateMany, notFound } from "../../objects/locate_object.ts";
import { refuseDamaged } from "../../objects/check_object.ts";
import { isObjectId } from "../../lib/ids.ts";
import { packOf } from "../object_pack.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { encodeIdList } from "../body/id_lists.ts";
import { distinct, slicesOf } from "../../lib/sleep.ts";
import { acceptedCodec, replyEncoded } from "../reply.ts";
import { sendObject, SENT_OBJECT } from "../send_object.ts";
import { type Route, route } from "../route.ts";
import { MissingAnswer, NoQuery, ObjectIdsBody, ObjectPath, RepoPath } from "../schemas.ts";
import { cutSlowReader } from "../slow_reader.ts";
import { X_MSGPACK } from "../body/body.ts";

const IDS_PER_STATEMENT = 5_000;
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
    const missing: string[] = [];
    let damaged: ObjectLocation | undefined;
    for await (const slice of slicesOf(objectIds)) {
      const located = await locateAll(slice, repoId, context);
      damaged ??= located.values().find(({ damagedAt }) => damagedAt !== null);
      missing.push(...slice.filter((id) => !located.has(id)));
    }
    if (missing.length > 0) {
      throw new HttpProblem(404, "object-not-found", notFound(missing[0]).message, {
        members: { missing: missing.slice(0, MAX_NAMED), missing_count: missing.length },
      });
    }
    if (damaged !== undefined) refuseDamaged(damaged);
    const { maxContentBytes } = context.config;
    const pack = packOf({ db, store, repoId, objectIds, maxContentBytes, signal });
    const headers = { "content-type": X_MSGPACK };
    return { status: 200, headers, body: cutSlowReader(pack, sending) };
  },
});

export const objectRoutes: readonly Route[] = [filter, one, many];

async function locateAll(ids: readonly string[], repoId: string, { db }: ApiContext) {
  const found = new Map<string, ObjectLocation>();
  const wellFormed = ids.filter(isObjectId);
  for (let at = 0; at < wellFormed.length; at += IDS_PER_STATEMENT) {
    const page = wellFormed.slice(at, at + IDS_PER_STATEMENT);
    for (const row of await locateMany(db, repoId, page)) found.set(row.objectId, row);
  }
  return found;
}
