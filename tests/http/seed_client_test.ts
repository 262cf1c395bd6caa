import { encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { request } from "node:http";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import { startApi } from "../support/http/api.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { mpackKey } from "../support/mpack/mpacks.ts";
import { makeBucket, s3Engine } from "../support/store/swift.ts";

const CONTENT = new TextEncoder().encode("what the seed's client pushes");
const MADE = new MadeHistory(), HEAD = MADE.commit({ files: { "a.txt": CONTENT } });
const PACK = new Uint8Array(MADE.pack().bytes);

/** Sends exactly these headers, besides Host and Content-Length. */
function send(
  url: string,
  { method, headers = {}, body }: {
    readonly method: string;
    readonly headers?: Record<string, string>;
    readonly body: Uint8Array;
  },
): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const fields = { ...headers, "content-length": String(body.length) };
    const outgoing = request(url, { method, headers: fields }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk) => text += chunk).on("end", () =>
        resolve({
          status: answer.statusCode!,
          type: answer.headers["content-type"] ?? "",
          text,
        }));
    });
    outgoing.on("error", reject).end(body);
  });
}

async function pushAsSeed(store?: BlobStore): Promise<void> {
  await using api = await startApi(store ? { store } : {});
  const me = await api.identity("me"), { text: token } = await api.token(me);
  const post = async (path: string, value: unknown) => {
    const headers = {
      "authorization": `Bearer ${token}`,
      "content-type": "application/x-msgpack",
      "accept": "*/*",
    };
    const body = encode(value);
    const answer = await send(`${api.url}/me/repo/push/${path}`, { method: "POST", headers, body });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.type, "application/json");
    return JSON.parse(answer.text);
  };
  const key = mpackKey(PACK);
  const presigned = await post("mpack-presign", { mpack_key: key, size_bytes: PACK.length });
  const put = await send(presigned.upload_url, { method: "PUT", body: PACK });
  assert.ok(put.status === 200 || put.status === 201, `${put.status} ${put.text}`);
  const result = await post("unpack-mpack", {
    mpack_key: key,
    branch: "main",
    head: HEAD,
    force: false,
    declared_objects_count: 1,
  });
  assert.equal(result.objects_written, 1);
  assert.deepEqual(result.branch, { name: "main", head: HEAD, moved: true });
  const read = await me.send(`/me/repo/objects/${mpackKey(CONTENT)}`);
  assert.deepEqual(read.bytes, CONTENT);
}

Deno.test("the seed's client pushes to a folder with nothing but what it sends", () =>
  pushAsSeed());

Deno.test({
  name: "the seed's client pushes to Swift with nothing but what it sends",
  ignore: s3Engine === undefined,
  async fn() {
    await using bucket = await makeBucket();
    await pushAsSeed(bucket.store);
  },
});

Deno.test({
  name: "an upload URL that binds the digest names the headers to send",
  ignore: s3Engine === undefined,
  async fn() {
    await using bucket = await makeBucket();
    await using api = await startApi({ store: bucket.store, worker: false });
    const json = { mpack_key: mpackKey(PACK), size_bytes: PACK.length, bind: true };
    const { value } = await api.admin.send("/me/repo/push/mpack-presign", { json });
    assert.ok("x-amz-checksum-sha256" in value.headers);
    const bare = await send(value.upload_url, { method: "PUT", body: PACK });
    assert.equal(bare.status, 403);
    const { headers } = value;
    const put = await send(value.upload_url, { method: "PUT", headers, body: PACK });
    assert.equal(put.status, 200, put.text);
  },
});
