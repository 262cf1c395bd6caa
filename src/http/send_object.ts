/**
 * Sends the bytes of objects, whole or a range of them.
 *
 * @module
 */

import { checkLocation, locateObject } from "../objects/locate_object.ts";
import { plainSize, readEncoded, readLocated } from "../objects/read_object.ts";
import { acceptsCoding } from "./body/accept_encoding.ts";
import { parseRange } from "./range_header.ts";
import type { Answer } from "./server/answer.ts";
import type { AnswerSpec, Call } from "./route.ts";
import { cutSlowReader, sendWhole } from "./slow_reader.ts";

const SOCKET_BYTES = 64 * 1024;

/** What a route that sends an object reads and answers. */
export const SENT_OBJECT = {
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
  } satisfies Record<number, AnswerSpec>,
  problems: [416],
} as const;

/**
 * Answers a GET or HEAD of an object.
 *
 * @param lifetime How long the URL stands for this object: for ever if it names its id.
 */
export async function sendObject(
  { request, repo, found, context, sending }: Pick<
    Call,
    "request" | "repo" | "found" | "context" | "sending"
  >,
  objectId: string,
  lifetime: "max-age=31536000, immutable" | "no-cache" = "max-age=31536000, immutable",
): Promise<Answer> {
  const { db, store } = context;
  // The first statement looks for the id as it was asked; the other spelling takes another one.
  const location = found?.objectId === objectId && found.location !== undefined
    ? checkLocation(objectId, found.location)
    : await locateObject({ db, repoId: repo.repoId, objectId });
  // Another coding is another representation: its ETag differs, and ranges are of its bytes.
  const isEncoded = location.encoding === "zstd" && acceptsCoding(request.headers, "zstd");
  const plainTag = `"${objectId}"`, encodedTag = `"${objectId};zstd"`;
  const etag = isEncoded ? encodedTag : plainTag;
  const headers: Record<string, string> = {
    etag,
    // An object never changes, but access to it does: only browsers may cache a private one.
    "cache-control": `${repo.visibility === "public" ? "public" : "private"}, ` +
      `${lifetime}, no-transform`,
    "content-type": "application/octet-stream",
    "content-disposition": `attachment; filename="${objectId.replace(":", "-")}"`,
    "accept-ranges": "bytes",
    ...(location.encoding !== null && { vary: "accept-encoding" }),
    ...(isEncoded && { "content-encoding": "zstd" }),
  };
  const known = request.headers.get("if-none-match");
  if (known?.split(",").some((tag) => [etag, `W/${etag}`, "*"].includes(tag.trim()))) {
    return { status: 304, headers, body: null };
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
    headers["content-length"] = String(lengthBytes);
    if (range === undefined) return;
    const last = range.offsetBytes + lengthBytes - 1;
    headers["content-range"] = `bytes ${range.offsetBytes}-${last}/${sizeBytes}`;
  };
  if (isHead) {
    setLength(range?.lengthBytes ?? whole!, whole!);
    return { status, headers, body: null };
  }
  const opened = await read(store, location, { ...options, ...range });
  const { lengthBytes, sizeBytes, content } = opened;
  setLength(lengthBytes, sizeBytes);
  if (content === undefined) {
    return { status, headers, body: cutSlowReader(opened.stream, sending) };
  }
  // The sockets' buffers take a small one, so a slow reader holds nothing here.
  const isSmall = lengthBytes <= SOCKET_BYTES;
  return { status, headers, ...(isSmall ? { body: content } : sendWhole(content, sending)) };
}
