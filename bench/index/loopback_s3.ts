/**
 * The least of an S3 server: GET and HEAD of a folder's files, with Range and If-Match, on loopback.
 * It checks no signature; its only purpose is to be no limit.
 *
 * `deno run -A bench/index/loopback_s3.ts FOLDER` prints its endpoint when it listens, and ends
 * with its stdin.
 *
 * @module
 */

/** A running server. */
export interface LoopbackS3 extends AsyncDisposable {
  /** Its URL; each folder below its folder is a bucket. */
  readonly endpoint: string;
}

/** Starts the server in a process of its own, as an engine would be. */
export async function startLoopbackS3(folder: string): Promise<LoopbackS3> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", import.meta.url, folder],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value: line } = await said.read();
  if (line === undefined) throw new Error("Cannot start the loopback server: it said nothing");
  return {
    endpoint: line.trim(),
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await said.cancel();
      await child.status;
    },
  };
}

async function answer(folder: string, request: Request): Promise<Response> {
  const path = `${folder}${decodeURIComponent(new URL(request.url).pathname)}`;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch {
    return new Response("<Error><Code>NoSuchKey</Code></Error>", { status: 404 });
  }
  const { size, mtime } = await file.stat();
  const etag = `"${size.toString(16)}-${mtime?.getTime().toString(16)}"`;
  const ifMatch = request.headers.get("if-match");
  if (ifMatch !== null && ifMatch !== etag) {
    file.close();
    return new Response(null, { status: 412 });
  }
  const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ??
    [];
  const first = Number(from), last = to === "" ? size - 1 : Math.min(size - 1, Number(to));
  const headers = new Headers({ etag, "accept-ranges": "bytes" });
  headers.set("content-length", String(last - first + 1));
  if (mtime) headers.set("last-modified", mtime.toUTCString());
  const isPart = request.headers.has("range");
  if (isPart) headers.set("content-range", `bytes ${first}-${last}/${size}`);
  const status = isPart ? 206 : 200;
  if (request.method === "HEAD") {
    file.close();
    return new Response(null, { status, headers });
  }
  if (first > 0) await file.seek(first, Deno.SeekMode.Start);
  // To the end the runtime sends the file itself, without a turn of ours.
  if (last === size - 1) return new Response(file.readable, { status, headers });
  let left = last - first + 1;
  const upTo = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left));
      left -= Math.min(left, chunk.length);
      if (left === 0) controller.terminate();
    },
  });
  return new Response(file.readable.pipeThrough(upTo), { status, headers });
}

if (import.meta.main) {
  const [folder] = Deno.args;
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => console.log(`http://127.0.0.1:${port}`),
    handler: (request) => answer(folder, request),
  });
  for await (const _ of Deno.stdin.readable);
  await server.shutdown();
  Deno.exit(0);
}
