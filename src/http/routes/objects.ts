/**
 * Routes for objects: filter the ones a repo lacks, read one, read many.
 *
 * @module
 */

import { findLocations, type ObjectLocation } from "../../db/refs.ts";
import { filterMissing } from "../../objects/ghosts.ts";
import { locateObject, notFound } from "../../objects/locate_object.ts";
import { plainSize, readEncoded, readLocated } from "../../objects/read_object.ts";
import { refuseDamaged } from "../../objects/check_object.ts";
import { isObjectId } from "../../lib/ids.ts";
import { packOf } from "../object_pack.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { acceptsCoding } from "../body/accept_encoding.ts";
import { parseRange } from "../range_header.ts";
import { distinct, encodeIdList, slicesOf } from "../body/id_lists.ts";
import { acceptedCodec, replyEncoded } from "../reply.ts";
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
    const missing: string[] = [], objectIds = await distinct(body.object_ids);
    for await (const slice of slicesOf(objectIds)) {
      const { db } = context, { repoId } = repo;
      missing.push(...await filterMissing({ db, repoId, objectIds: slice }));
    }
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
  headers: {
    range: { description: "One range of bytes, `bytes=FIRST-LAST`" },
    "accept-encoding": {
      description: "With `zstd`, an object that is stored so is sent so, undecoded",
    },
    "if-none-match": { description: "An ETag; the answer is 304 if it is this object's" },
  },
  answers: {
    200: { description: "The object", mediaType: "application/octet-stream" },
    206: { description: "The range", mediaType: "application/octet-stream" },
    304: { description: "The client has the object already" },
  },
  problems: [416],
  async handle({ request, params, repo, context, sending }) {
    const { db, store } = context, { objectId } = params;
    const location = await locateObject({ db, repoId: repo.repoId, objectId });
    // Another coding is another representation: its ETag differs, and ranges are of its bytes.
    const isEncoded = location.encoding === "zstd" && acceptsCoding(request.headers, "zstd");
    const plainTag = `"${objectId}"`, encodedTag = `"${objectId};zstd"`;
    const etag = isEncoded ? encodedTag : plainTag;
    const headers = new Headers({
      etag,
      // An object never changes, but access to it does: only browsers may cache a private one.
      "cache-control": `${repo.visibility === "public" ? "public" : "private"}, ` +
        "max-age=31536000, immutable, no-transform",
      "content-type": "application/octet-stream",
      "content-disposition": `attachment; filename="${objectId.replace(":", "-")}"`,
      "accept-ranges": "bytes",
      ...(location.encoding !== null && { vary: "accept-encoding" }),
      ...(isEncoded && { "content-encoding": "zstd" }),
    });
    const known = request.headers.get("if-none-match");
    if (known?.split(",").some((tag) => [etag, `W/${etag}`, "*"].includes(tag.trim()))) {
      return new Response(null, { status: 304, headers });
    }
    const condition = request.headers.get("if-range");
    const field = condition === null || condition === etag ? request.headers.get("range") : null;
    const options = {
      maxContentBytes: context.config.maxContentBytes,
      signal: context.force,
    };
    const read = isEncoded ? readEncoded : readLocated, isHead = request.method === "HEAD";
    const whole = isHead || field !== null
      ? isEncoded ? location.sizeBytes : await plainSize(store, location, options)
      : undefined;
    const range = whole === undefined ? undefined : parseRange(field, whole);
    const status = range === undefined ? 200 : 206;
    const setLength = (lengthBytes: number, sizeBytes: number) => {
      headers.set("content-length", String(lengthBytes));
      if (range === undefined) return;
      const last = range.offsetBytes + lengthBytes - 1;
      headers.set("content-range", `bytes ${range.offsetBytes}-${last}/${sizeBytes}`);
    };
    if (isHead) {
      setLength(range?.lengthBytes ?? whole!, whole!);
      return new Response(null, { status, headers });
    }
    const { stream, lengthBytes, sizeBytes } = await read(store, location, {
      ...options,
      ...range,
    });
    setLength(lengthBytes, sizeBytes);
    return new Response(cutSlowReader(stream, sending), { status, headers });
  },
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
    const objectIds = await distinct(body.object_ids);
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
    return new Response(cutSlowReader(pack, sending), { headers: { "content-type": X_MSGPACK } });
  },
});

export const objectRoutes: readonly Route[] = [filter, one, many];

async function locateAll(ids: readonly string[], repoId: string, { db }: ApiContext) {
  const found = new Map<string, ObjectLocation>();
  const wellFormed = ids.filter(isObjectId);
  for (let at = 0; at < wellFormed.length; at += IDS_PER_STATEMENT) {
    const page = wellFormed.slice(at, at + IDS_PER_STATEMENT);
    for (const row of await findLocations(db, repoId, page)) found.set(row.objectId, row);
  }
  return found;
}
