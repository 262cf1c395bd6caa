/**
 * What mpackd's answers are compared with: the least of a server for each kind of request. It checks
 * nothing and nobody.
 *
 * `deno run -A bench/http/bare.ts REPO-ID PACK FOLDER` prints its URL when it listens; DATABASE_URL
 * and the store are those of the API.
 *
 * @module
 */

import { S3Client } from "@bradenmacdonald/s3-lite-client";
import { openSync, read } from "node:fs";
import { promisify } from "node:util";
import postgres from "postgres";
import { openSha256 } from "../../src/hash/sha256.ts";

const [repoId, pack, folder] = Deno.args;
const sql = postgres(Deno.env.get("DATABASE_URL")!, { fetch_types: false });
const file = openSync(pack, "r"), readAt = promisify(read);
/** Where a key lies in the engine, if there is one. */
const s3 = Deno.env.get("BARE_S3") === undefined
  ? undefined
  : new S3Client(JSON.parse(Deno.env.get("BARE_S3")!));

async function lookUp(objectId: string): Promise<{ at: number; size: number; key: string }> {
  const [row] = await sql`
    select r.content_offset::float8 as at, r.size_bytes::float8 as size, m.blob_key as key
    from musehub_object_refs r join musehub_mpacks m using (mpack_id)
    where r.repo_id = ${repoId} and r.object_id = ${objectId}`;
  return row as unknown as { at: number; size: number; key: string };
}

const ROUTES: Record<string, (name: string, request: Request) => Promise<Response> | Response> = {
  hello: () => new Response("hello"),
  /** One indexed lookup. */
  lookup: async (id) => new Response(null, { headers: { etag: (await lookUp(id)).key } }),
  /** One indexed lookup and one positioned read. */
  object: async (id) => {
    const { at, size } = await lookUp(id);
    const bytes = new Uint8Array(size);
    await readAt(file, bytes, 0, size, at);
    return new Response(bytes);
  },
  /** A GET passed on: the engine's body, unread. */
  s3: async (id) => {
    const { at, size, key } = await lookUp(id);
    return await s3!.getPartialObject(key, { offset: at, length: size });
  },
  /** A file from the disk. */
  file: async (name) => new Response((await Deno.open(`${folder}/${name}`)).readable),
  /** The body into a file, hashed beside it with the pipeline's own hasher. */
  upload: async (name, request) => {
    using into = await Deno.open(`${folder}/${name}`, {
      write: true,
      create: true,
      truncate: true,
    });
    using hasher = await openSha256({ engine: "native", worker: false });
    const reader = request.body!.getReader({ mode: "byob" });
    let isEnd = false, memory = new ArrayBuffer(256 * 1024);
    while (!isEnd) {
      const buffer = await hasher.borrow();
      let bytes = 0;
      while (bytes < buffer.length && !isEnd) {
        const partBytes = Math.min(memory.byteLength, buffer.length - bytes);
        const { done, value } = await reader.read(new Uint8Array(memory, 0, partBytes));
        isEnd = done;
        if (value) {
          buffer.set(value, bytes);
          memory = value.buffer;
        }
        bytes += value?.length ?? 0;
      }
      const full = buffer.subarray(0, bytes);
      for (let at = 0; at < bytes;) at += await into.write(full.subarray(at));
      hasher.update(buffer, bytes);
    }
    await into.sync();
    return new Response(await hasher.digest());
  },
};

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.error(`Listening on http://127.0.0.1:${port}`),
}, (request) => {
  const [, kind, name] = /^http:\/\/[^/]+\/(\w+)\/?(.*)$/.exec(request.url)!;
  return ROUTES[kind](name, request);
});
