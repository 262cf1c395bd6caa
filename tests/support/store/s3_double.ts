/**
 * An S3 server in memory with what the tests need. It checks no signatures; the real engine does.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** A running double. */
export interface S3Double extends AsyncDisposable {
  /** The server's URL. */
  readonly endpoint: string;
  /** Objects by their path, such as `/bucket/key`. */
  readonly objects: Map<string, { bytes: Uint8Array<ArrayBuffer>; etag: string }>;
  /** Puts an object without a request. */
  set(path: string, bytes: Uint8Array<ArrayBuffer>): void;
  /** Uploads that are neither completed nor aborted, by id; their parts by number. */
  readonly uploads: Map<string, Map<number, Uint8Array<ArrayBuffer>>>;
  /** The most parts that were received at the same time. */
  readonly maxPartsAtOnce: number;
  /** Objects per page of a listing. */
  pageSize: number;
  /** Whether it compares a body with the digest in its header. */
  checksDigests: boolean;
  /** Whether the bucket has Object Lock: each PUT and part needs a checksum. */
  hasObjectLock: boolean;
}

/** Starts a double on loopback. */
export function startS3Double(): S3Double {
  const double = new Double();
  // A client that disconnects within its body is not an error of the server.
  const onError = () => new Response(null, { status: 400 });
  const options = { hostname: "127.0.0.1", port: 0, onListen() {}, onError };
  const server = Deno.serve(options, double.handle);
  return Object.assign(double, {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  });
}

class Double {
  readonly objects: S3Double["objects"] = new Map();
  readonly uploads: S3Double["uploads"] = new Map();
  maxPartsAtOnce = 0;
  pageSize = 1000;
  checksDigests = true;
  hasObjectLock = false;
  #partsAtOnce = 0;

  set(path: string, bytes: Uint8Array<ArrayBuffer>): void {
    this.objects.set(path, { bytes, etag: `"${createHash("md5").update(bytes).digest("hex")}"` });
  }

  readonly handle = async (request: Request): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    const path = decodeURIComponent(pathname);
    if (searchParams.has("list-type")) return this.#list(path, searchParams);
    if (searchParams.has("uploads")) {
      const id = crypto.randomUUID(), algorithm = request.headers.get("x-amz-checksum-algorithm");
      if (this.hasObjectLock && algorithm !== "SHA256") return refuse(400, "InvalidRequest");
      this.uploads.set(id, new Map());
      const headers = this.hasObjectLock ? { "x-amz-checksum-algorithm": "SHA256" } : undefined;
      return new Response(`<X><UploadId>${id}</UploadId></X>`, { headers });
    }
    const uploadId = searchParams.get("uploadId");
    if (uploadId !== null) return await this.#upload(request, path, uploadId, searchParams);
    if (request.method === "DELETE") {
      this.objects.delete(path);
      return new Response(null, { status: 204 });
    }
    if (request.method === "PUT") {
      const bytes = await request.bytes();
      if (request.headers.get("if-none-match") === "*" && this.objects.has(path)) {
        return refuse(412, "PreconditionFailed");
      }
      const refusal = this.#checksumRefusal(request, bytes);
      if (refusal !== undefined) return refusal;
      const digest = request.headers.get("x-amz-content-sha256");
      const isBound = this.checksDigests && /^[0-9a-f]{64}$/.test(digest ?? "");
      if (isBound && createHash("sha256").update(bytes).digest("hex") !== digest) {
        return refuse(400, "XAmzContentSHA256Mismatch");
      }
      this.set(path, bytes);
      return new Response(null, { headers: { etag: this.objects.get(path)?.etag ?? "" } });
    }
    return this.#read(request, path);
  };

  #read(request: Request, path: string): Response {
    const object = this.objects.get(path);
    const isBucket = path.indexOf("/", 1) === path.length - 1;
    if (isBucket && request.method === "HEAD") return new Response();
    if (object === undefined) return refuse(404, "NoSuchKey");
    const { bytes, etag } = object;
    const wanted = request.headers.get("if-match");
    if (wanted !== null && wanted !== etag) return refuse(412, "PreconditionFailed");
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
    const length = { etag, "content-length": String(bytes.length) };
    if (request.method === "HEAD") return new Response(null, { headers: length });
    if (range === null) return new Response(bytes, { headers: length });
    const start = Number(range[1]);
    if (start >= bytes.length) return refuse(416, "InvalidRange");
    const end = Math.min(bytes.length, range[2] === "" ? Infinity : Number(range[2]) + 1);
    const headers = { etag, "content-range": `bytes ${start}-${end - 1}/${bytes.length}` };
    return new Response(bytes.slice(start, end), { status: 206, headers });
  }

  async #upload(
    request: Request,
    path: string,
    uploadId: string,
    search: URLSearchParams,
  ): Promise<Response> {
    const parts = this.uploads.get(uploadId);
    if (parts === undefined) return refuse(404, "NoSuchUpload");
    if (request.method === "DELETE") {
      this.uploads.delete(uploadId);
      return new Response(null, { status: 204 });
    }
    if (request.method === "PUT") {
      this.maxPartsAtOnce = Math.max(this.maxPartsAtOnce, ++this.#partsAtOnce);
      const bytes = await request.bytes().finally(() => this.#partsAtOnce--);
      const refusal = this.#checksumRefusal(request, bytes);
      if (refusal !== undefined) return refusal;
      parts.set(Number(search.get("partNumber")), bytes);
      return new Response(null, { headers: { etag: `"part-${search.get("partNumber")}"` } });
    }
    const xml = await request.text();
    const checksums = [...parts.values()].map(checksumOf);
    if (this.hasObjectLock && !checksums.every((checksum) => xml.includes(`>${checksum}<`))) {
      return refuse(400, "InvalidRequest");
    }
    const inOrder = [...parts].sort(([left], [right]) => left - right).map(([, bytes]) => bytes);
    this.set(path, await new Blob(inOrder).bytes());
    this.uploads.delete(uploadId);
    const { etag = "" } = this.objects.get(path) ?? {};
    return new Response(`<X><ETag>${etag.replaceAll('"', "&quot;")}</ETag></X>`);
  }

  #checksumRefusal({ headers }: Request, bytes: Uint8Array): Response | undefined {
    const checksum = headers.get("x-amz-checksum-sha256");
    if (checksum === null) return this.hasObjectLock ? refuse(400, "InvalidRequest") : undefined;
    const isSigned = headers.get("authorization")?.includes(";x-amz-checksum-sha256;");
    if (!isSigned) return refuse(403, "AccessDenied");
    return checksum === checksumOf(bytes) ? undefined : refuse(400, "BadDigest");
  }

  #list(path: string, search: URLSearchParams): Response {
    const prefix = search.get("prefix") ?? "";
    const after = search.get("continuation-token") ?? "";
    const keys = [...this.objects.keys()].map((name) => name.slice(path.length))
      .filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, this.pageSize);
    const isTruncated = page.length < keys.length;
    const contents = page.map((key) =>
      `<Contents><Key>${encodeURIComponent(key)}</Key><Size>1</Size>` +
      "<LastModified>2026-11-23T08:00:00.000Z</LastModified></Contents>"
    );
    return new Response(
      `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>` +
        (isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "") +
        `${contents.join("")}</ListBucketResult>`,
    );
  }
}

function refuse(status: number, code: string): Response {
  return new Response(`<Error><Code>${code}</Code><Message>No &amp; no</Message></Error>`, {
    status,
  });
}

function checksumOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}
