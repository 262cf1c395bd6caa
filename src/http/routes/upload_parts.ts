/**
 * Routes of an upload in parts: the upload of one part, where the store cannot take it itself (a
 * folder), and the completion. mpack-presign begins it, and tells which parts are missing.
 *
 * @module
 */

import { counted } from "../../lib/numbers.ts";
import { z } from "zod";
import { blobKeyOf } from "../../config/config.ts";
import { findMpack } from "../../db/packs.ts";
import { touchUpload } from "../../db/uploads.ts";
import { openRepo, requireRepo, requireValid } from "../auth/access.ts";
import { bodyChunks, bodyLimits } from "../body/body.ts";
import { completeUpload, discardUpload, findUpload } from "../part_upload.ts";
import { HttpProblem } from "../problem.ts";
import { recheckEvery, whileAllowed } from "../recheck.ts";
import { reply } from "../reply.ts";
import { type Route, route, tagged } from "../route.ts";
import { CompleteAnswer, CompleteBody, MpackKey, NoQuery, RepoPath } from "../schemas.ts";
import { isStored } from "../store_upload.ts";
import { partKey } from "../../stream/store/part_blobs.ts";
import { clientOfUpload, requireUpload, UploadQuery } from "../upload_url.ts";

const complete = route({
  method: "POST",
  path: "/{owner}/{slug}/push/mpack-complete",
  id: "completeMpack",
  summary: "Join the parts of an upload to the pack, when all are there.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  body: CompleteBody,
  answers: { 200: { description: "The pack is in the store", schema: CompleteAnswer } },
  problems: [404, 409, 422],
  async handle({ request, body, repo, caller, params, context }) {
    const { db, store, config } = context;
    const place = { repoId: repo.repoId, mpackKey: body.mpack_key };
    const upload = await findUpload(context, place);
    const answer = () => reply(request, 200, { mpack_key: place.mpackKey });
    // Its blob must not be replaced: readers have pinned its version.
    if (await findMpack(db, place) !== undefined) {
      if (upload !== undefined) await discardUpload(context, upload);
      return answer();
    }
    if (upload === undefined) {
      // The answer to an earlier completion may have been lost.
      const key = blobKeyOf(config.blobKey, place.repoId, place.mpackKey);
      if (await isStored(store, key)) return answer();
      throw new HttpProblem(
        404,
        "blob-missing",
        `Cannot complete ${place.mpackKey}: there is no such upload; ask mpack-presign again`,
      );
    }
    const { length } = upload.missing;
    if (length > 0) {
      throw new HttpProblem(
        409,
        "conflict",
        `Cannot complete ${place.mpackKey}: ${
          counted(length, "part is", "parts are")
        } missing; ask mpack-presign for them`,
        { members: { missing_count: length } },
      );
    }
    await completeUpload(context, upload, async () => {
      await requireValid(caller);
      await openRepo(db, params, caller, "push");
    });
    return answer();
  },
});

const uploadPart = route({
  method: "PUT",
  path: "/api/uploads/{repoId}/{mpackKey}/{uploadId}/{number}",
  id: "uploadPart",
  summary: "Upload one part to a URL from mpack-presign, where the store is a folder.",
  // The URL's signature is the authorization.
  access: "anyone",
  clientOfUrl: ({ repoId, mpackKey, uploadId, number }, query, { uploadSecret }) => {
    const part = { uploadId, number: Number(number) };
    return clientOfUpload(uploadSecret, { repoId, mpackKey, part }, query);
  },
  params: z.object({
    repoId: z.string(),
    mpackKey: MpackKey,
    uploadId: z.string(),
    number: z.coerce.number().int().min(1),
  }),
  query: UploadQuery,
  rawBody: "application/octet-stream",
  answers: { 200: { description: "The part is in the store" } },
  problems: [403, 404, 411],
  async handle({ request, params, query, caller, context }) {
    const { repoId, mpackKey, uploadId, number } = params;
    const terms = { repoId, mpackKey, part: { uploadId, number } };
    const { sizeBytes } = requireUpload(request, context.uploadSecret, terms, query);
    using _counted = context.rateLimit.beginUpload(caller.client);
    const checkRepo = () => requireRepo(context.db, repoId);
    const { home } = await checkRepo(), { db, store } = await context.at(home);
    // Without a list of the parts: 10,000 requests would read 10,000 entries each.
    if ((await touchUpload(db, terms))?.uploadId !== uploadId) {
      throw new HttpProblem(
        404,
        "blob-missing",
        "Cannot accept the part: its upload has ended; ask mpack-presign again",
      );
    }
    // Traces record URLs: one that has been used must not replace the part that it brought.
    const key = partKey(uploadId, number);
    if (await isStored(store, key, sizeBytes)) {
      await request.body?.cancel();
      return { status: 200, headers: {}, body: null };
    }
    const chunks = bodyChunks(request, bodyLimits(context.config, sizeBytes));
    const body = whileAllowed(chunks, recheckEvery(checkRepo));
    const signal = context.force;
    await store.put(key, body, { sizeBytes, signal });
    return { status: 200, headers: {}, body: null };
  },
});

export const uploadPartsRoutes: readonly Route[] = tagged("Pushes", [complete, uploadPart]);
