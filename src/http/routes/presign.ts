/**
 * Routes that presign an upload, whole or in parts, and that take a whole one where the store cannot (a folder).
 *
 * @module
 */

import { z } from "zod";
import { blobKeyOf } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { admitUpload } from "../../db/quotas/admit_push.ts";
import { digestOf } from "../../lib/ids.ts";
import { partUploadsOf } from "../../stream/store/part_blobs.ts";
import { requireRepo } from "../auth/access.ts";
import type { ApiContext } from "../context.ts";
import { countOf, type OpenUpload, openUpload } from "../part_upload.ts";
import { HttpProblem } from "../problem.ts";
import { recheckEvery } from "../recheck.ts";
import { quotaWarning } from "./quota_warning.ts";
import { reply } from "../reply.ts";
import { type Route, route, tagged } from "../route.ts";
import { MpackKey, NoQuery, PresignAnswer, PresignBody, RepoPath } from "../schemas.ts";
import type { PartsAnswer } from "../schemas.ts";
import { storeUpload } from "../store_upload.ts";
import { clientOfUpload, requireUpload, signUpload, UploadQuery } from "../upload_url.ts";
import type { UploadTerms } from "../upload_url.ts";

/** The most URLs in one answer. A client asks again for the next ones, before these expire. */
const MAX_URLS = 100;

const presign = route({
  method: "POST",
  path: "/{owner}/{slug}/push/mpack-presign",
  id: "presignMpack",
  summary: "Get a URL to PUT a pack to, or the URLs of the parts that are missing.",
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
    const { part_bytes: partBytes } = body, { repoId, owner } = repo;
    const { isKnown, admission } = await admitUpload(
      db,
      { repoId, owner, mpackKey, sizeBytes },
      quotaDefaultsOf(config),
    );
    if (isKnown) return reply(request, 200, { already_indexed: true });
    const warning = quotaWarning(admission?.warnings);
    const { maxWholeBytes = Infinity } = partUploadsOf(store);
    const isInParts = partBytes !== undefined || sizeBytes > maxWholeBytes;
    if (isInParts && bind) {
      throw new HttpProblem(400, "bad-request", "Cannot bind the digest of a pack to its parts");
    }
    const expiresSeconds = config.httpPresignSeconds;
    const expiresAt = new Date(Date.now() + expiresSeconds * 1000);
    const base = baseOf(request, context), { client } = caller;
    if (isInParts) {
      const upload = await openUpload(context, { repoId, mpackKey, sizeBytes, partBytes });
      const parts = await presignParts(context, upload, {
        expiresSeconds,
        expiresAt,
        base,
        client,
      });
      return reply(request, 200, { already_indexed: false, headers: {}, ...parts }, warning);
    }
    const key = blobKeyOf(config.blobKey, repoId, mpackKey);
    const signed = await store.presignPut(key, {
      expiresSeconds,
      // Without it the URL takes a bare PUT. The digest decides when the pack is indexed.
      ...(bind ? { sha256Hex: digestOf(mpackKey) } : {}),
    }) ??
      signUpload(context.uploadSecret, { base, repoId, mpackKey, sizeBytes, expiresAt, client });
    return reply(request, 200, {
      already_indexed: false,
      upload_url: signed.url,
      headers: signed.headers,
      expires_at: signed.expiresAt.toISOString(),
    }, warning);
  },
});

/** Signs the URLs of the first missing parts. */
async function presignParts(
  { uploadSecret }: ApiContext,
  { row, uploads, blobKey, missing }: OpenUpload,
  { expiresSeconds, ...terms }: Pick<UploadTerms, "expiresAt" | "client"> & {
    readonly expiresSeconds: number;
    readonly base: string;
  },
): Promise<{ readonly expires_at: string; readonly parts: z.output<typeof PartsAnswer> }> {
  const { repoId, mpackKey, uploadId } = row;
  let { expiresAt } = terms;
  const next = missing.slice(0, MAX_URLS).map(async ({ number, offsetBytes, sizeBytes }) => {
    const signed = await uploads.presign?.(blobKey, uploadId, { number, expiresSeconds }) ??
      signUpload(uploadSecret, {
        ...terms,
        repoId,
        mpackKey,
        sizeBytes,
        part: { uploadId, number },
      });
    // The credentials that sign it may end first.
    if (signed.expiresAt < expiresAt) expiresAt = signed.expiresAt;
    return { number, offset_bytes: offsetBytes, size_bytes: sizeBytes, upload_url: signed.url };
  });
  const parts = {
    part_bytes: row.partBytes,
    count: countOf(row),
    missing_count: missing.length,
    missing: await Promise.all(next),
  };
  return { expires_at: expiresAt.toISOString(), parts };
}

const upload = route({
  method: "PUT",
  path: "/api/uploads/{repoId}/{mpackKey}",
  id: "uploadMpack",
  summary: "Upload a pack to a URL from mpack-presign, where the store is a folder.",
  // The URL's signature is the authorization.
  access: "anyone",
  clientOfUrl: ({ repoId, mpackKey }, query, { uploadSecret }) =>
    clientOfUpload(uploadSecret, { repoId, mpackKey }, query),
  params: z.object({ repoId: z.string(), mpackKey: MpackKey }),
  query: UploadQuery,
  rawBody: "application/octet-stream",
  answers: { 200: { description: "The pack is in the store" } },
  problems: [403, 404, 411, 422],
  async handle({ request, params, query, caller, context }) {
    const upload = requireUpload(request, context.uploadSecret, params, query);
    using _counted = context.rateLimit.beginUpload(caller.client);
    // The URL outlives a deleted repo, and nobody would look for a blob that came after its end.
    const checkRepo = () => requireRepo(context.db, params.repoId);
    const { home } = await checkRepo();
    await storeUpload(request, upload, await context.at(home), recheckEvery(checkRepo));
    return { status: 200, headers: {}, body: null };
  },
});

export const presignRoutes: readonly Route[] = tagged("Pushes", [presign, upload]);

function baseOf(request: Request, { config }: ApiContext): string {
  return config.httpUrl ?? new URL(request.url).origin;
}
