/**
 * Where to upload a pack, and the upload itself where the store has no server of its own.
 *
 * @module
 */

import { z } from "zod";
import { blobKeyOf } from "../../config/config.ts";
import { findMpack } from "../../db/packs.ts";
import { declaredLength } from "../body.ts";
import type { ApiParts } from "../context.ts";
import { HttpProblem } from "../problem.ts";
import { reply } from "../reply.ts";
import { type Route, route } from "../route.ts";
import { MpackKey, NoQuery, PresignAnswer, PresignBody, RepoPath } from "../schemas.ts";
import { storeUpload } from "../store_upload.ts";
import { checkUpload, signUpload } from "../upload_url.ts";

const presign = route({
  method: "POST",
  path: "/{owner}/{slug}/push/mpack-presign",
  id: "presignMpack",
  summary: "Ask for a URL to PUT a pack to.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  body: PresignBody,
  answers: { 200: { description: "Where to upload the pack", schema: PresignAnswer } },
  async handle({ request, body, repo, parts }) {
    const { db, store, config } = parts;
    const { mpack_key: mpackKey, size_bytes: sizeBytes } = body;
    if (sizeBytes > config.maxPackBytes) {
      throw new HttpProblem(
        413,
        "too-large",
        `Cannot take the pack: maxPackBytes is ${config.maxPackBytes}, it has ${sizeBytes}`,
      );
    }
    if (await findMpack(db, { repoId: repo.repoId, mpackKey }) !== undefined) {
      return reply(request, 200, { already_indexed: true });
    }
    const expiresSeconds = config.httpPresignSeconds;
    const sha256Hex = mpackKey.slice("sha256:".length);
    const key = blobKeyOf(config.blobKey, repo.repoId, mpackKey);
    const signed = await store.presignPut(key, { expiresSeconds, sizeBytes, sha256Hex }) ??
      signUpload(parts.uploadSecret, {
        base: baseOf(request, parts),
        repoId: repo.repoId,
        mpackKey,
        sizeBytes,
        expiresAt: new Date(Date.now() + expiresSeconds * 1000),
      });
    return reply(request, 200, {
      already_indexed: false,
      upload_url: signed.url,
      headers: signed.headers,
      expires_at: signed.expiresAt.toISOString(),
    });
  },
});

const upload = route({
  method: "PUT",
  path: "/api/uploads/{repoId}/{mpackKey}",
  id: "uploadMpack",
  summary: "Upload a pack to a URL that mpack-presign gave, where the store is a folder.",
  // The URL itself says who may.
  access: "anyone",
  params: z.object({ repoId: z.string(), mpackKey: MpackKey }),
  query: z.object({
    size: z.coerce.number().int().min(1),
    expires: z.coerce.number().int(),
    signature: z.string(),
  }),
  rawBody: "application/octet-stream",
  answers: { 200: { description: "The pack is in the store" } },
  problems: [403, 411, 422],
  async handle({ request, params, query, parts }) {
    const upload = {
      repoId: params.repoId,
      mpackKey: params.mpackKey,
      sizeBytes: query.size,
      expiresAt: new Date(query.expires * 1000),
    };
    if (!checkUpload(parts.uploadSecret, upload, query.signature)) {
      throw new HttpProblem(403, "forbidden", "Cannot take the upload: its URL does not count");
    }
    const sizeBytes = declaredLength(request, query.size);
    if (sizeBytes === undefined) {
      throw new HttpProblem(411, "length-required", "Cannot take the upload: no Content-Length");
    }
    if (sizeBytes !== query.size) {
      throw new HttpProblem(
        400,
        "bad-request",
        `Cannot take the upload: ${query.size} bytes were signed, Content-Length is ${sizeBytes}`,
      );
    }
    using _counted = parts.gate.beginUpload(`repo ${params.repoId}`);
    await storeUpload(request, upload, parts);
    return new Response(null, { status: 200 });
  },
});

/** The routes. */
export const presignRoutes: readonly Route[] = [presign, upload];

function baseOf(request: Request, { config }: ApiParts): string {
  return config.httpUrl ?? new URL(request.url).origin;
}
