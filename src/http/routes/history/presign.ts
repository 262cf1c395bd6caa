/**
 * The route that MuseHub's clients ask for URLs to upload large objects to. It answers that there are
 * none: all come with `push/objects`.
 *
 * An object that arrives alone in the store would have to be read again, hashed and put into an mpack
 * before a repo may read it, so its bytes would pass the server after all, and twice. `push/objects`
 * streams them once, with no limit but that of an mpack. Whoever wants to upload straight to the store
 * sends a whole mpack: `push/mpack-presign`.
 *
 * @module
 */

import { replyMsgpack } from "../../reply.ts";
import { type Route, route } from "../../route.ts";
import { NoQuery, RepoPath } from "../../schemas.ts";
import { ObjectPresignAnswer, ObjectPresignBody } from "./schemas.ts";

const presign = route({
  method: "POST",
  path: "/{owner}/{slug}/presign",
  id: "presignObjects",
  summary: "Ask how to send large objects: with push/objects, always.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  body: ObjectPresignBody,
  idLists: true,
  isForMuse: true,
  answers: { 200: { description: "All ids, as `inline`", schema: ObjectPresignAnswer } },
  handle: ({ body }) => replyMsgpack({ presigned: {}, inline: body.object_ids }),
});

export const presignObjectRoutes: readonly Route[] = [presign];
