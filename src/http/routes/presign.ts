/**
 * Routes that presign an upload, and that take it where the store cannot (a folder).
 *
 * @module
 */

import { z } from "zod";
import { blobKeyOf } from "../../config/config.ts";
import { findMpack } from "../../db/packs.ts";
import { digestOf } from "../../lib/ids.ts";
import { requireRepo } from "../auth/access.ts";
import { declaredLength } from "../body/body.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { recheckEvery } from "../recheck.ts";
import { reply } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { MpackKey, NoQuery, PresignAnswer, PresignBody, RepoPath } from "../schemas.ts";
import { storeUpload } from "../store_upload.ts";
import { checkUpload, signUpload, type UploadTerms } from "../upload_url.ts";

const presign = route({
  method: "POST",
  path: "/{owner}/{slug}/push/mpack-presign",
  id: "presignMpack",
  summary: "Get a URL to PUT a pack to.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  body: PresignBody,
  answers: { 200: { description: "Where to upload the pack", schema: PresignAnswer } },
  async handle({ request, body, repo, caller, context }) {
    const { db, store, config } = context;
    const { mpack_key: mpackKey, size_bytes: sizeBytes, bind } = body;
    if (sizeBytes > config.maxPackBytes) {
      throw new HttpProblem(
        413,
        "too-large",
        `Cannot accept the pack: it has ${sizeBytes} bytes, maxPackBytes is ${config.maxPackBytes}`,
      );
    }
    if (await findMpack(db, { repoId: repo.repoId, mpackKey }) !== undefined) {
      return reply(request, 200, { already_indexed: true });
    }
    const expiresSeconds = config.httpPresignSeconds;
    const key = blobKeyOf(config.blobKey, repo.repoId, mpackKey);
    const signed = await store.presignPut(key, {
      expiresSeconds,
      // Without it the URL takes a bare PUT. The digest decides when the pack is indexed.
      ...(bind ? { sha256Hex: digestOf(mpackKey) } : {}),
    }) ??
      signUpload(context.uploadSecret, {
        base: baseOf(request, context),
        repoId: repo.repoId,
        mpackKey,
        sizeBytes,
        expiresAt: new Date(Date.now() + expiresSeconds * 1000),
        client: caller.client,
      });
    return reply(request, 200, {
      already_indexed: false,
      upload_url: signed.url,
      headers: signed.headers,
      expires_at: signed.expiresAt.toISOString(),
    });
  },
});

const UploadQuery = z.object({
  size: z.coerce.number().int().min(1),
  expires: z.coerce.number().int(),
  client: z.string(),
  signature: z.string(),
});

const upload = route({
  method: "PUT",
  path: "/api/uploads/{repoId}/{mpackKey}",
  id: "uploadMpack",
  summary: "Upload a pack to a URL from mpack-presign, where the store is a folder.",
  // The URL's signature is the authorization.
  access: "anyone",
  clientOfUrl({ repoId, mpackKey }, query, { uploadSecret }) {
    const url = UploadQuery.safeParse(Object.fromEntries(query)).data;
    if (url === undefined) return undefined;
    const isOurs = checkUpload(uploadSecret, termsOf({ repoId, mpackKey }, url), url.signature);
    return isOurs ? url.client : undefined;
  },
  params: z.object({ repoId: z.string(), mpackKey: MpackKey }),
  query: UploadQuery,
  rawBody: "application/octet-stream",
  answers: { 200: { description: "The pack is in the store" } },
  problems: [403, 404, 411, 422],
  async handle({ request, params, query, caller, context }) {
    const upload = termsOf(params, query);
    if (!checkUpload(context.uploadSecret, upload, query.signature)) {
      throw new HttpProblem(
        403,
        "forbidden",
        "Cannot accept the upload: its URL is not valid or has expired",
      );
    }
    const sizeBytes = declaredLength(request, query.size);
    if (sizeBytes === undefined) {
      throw new HttpProblem(
        411,
        "length-required",
        "Cannot accept the upload: Content-Length is missing",
      );
    }
    if (sizeBytes !== query.size) {
      throw new HttpProblem(
        400,
        "bad-request",
        `Cannot accept the upload: the URL is for ${query.size} bytes, Content-Length is ${sizeBytes}`,
      );
    }
    using _counted = context.rateLimit.beginUpload(caller.client);
    // The URL outlives a deleted repo, and nobody would look for a blob that came after its end.
    const checkRepo = () => requireRepo(context.db, params.repoId);
    await checkRepo();
    await storeUpload(request, upload, context, recheckEvery(checkRepo));
    return new Response(null, { status: 200 });
  },
});

export const presignRoutes: readonly Route[] = [presign, upload];

function termsOf(
  { repoId, mpackKey }: Pick<UploadTerms, "repoId" | "mpackKey">,
  { size, expires, client }: z.output<typeof UploadQuery>,
): UploadTerms {
  return { repoId, mpackKey, sizeBytes: size, expiresAt: new Date(expires * 1000), client };
}

function baseOf(request: Request, { config }: ApiContext): string {
  return config.httpUrl ?? new URL(request.url).origin;
}
