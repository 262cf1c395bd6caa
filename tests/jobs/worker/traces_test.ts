import assert from "node:assert/strict";

const PROGRAM = `
import { openS3Store } from "${new URL(
  "../../../src/stream/store/s3/s3_store.ts",
  import.meta.url,
)}";
const endpoint = Deno.args[0];
const store = openS3Store({
  bucket: "bucket", endpoint, region: "us-east-1", accessKeyId: "key", secretAccessKey: "secret",
  sessionToken: "the-token",
});
await store.stat("a");
await store.delete("a");
`;

Deno.test("the spans of requests to a store hold no signature", async () => {
  const traces: string[] = [];
  let requests = 0;
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  await using server = Deno.serve(options, async (request) => {
    if (request.url.endsWith("/v1/traces")) {
      traces.push(await request.text());
      return Response.json({});
    }
    if (!request.url.includes("/v1/")) requests++;
    return new Response(null, { headers: { etag: '"x"', "content-length": "0" } });
  });
  const endpoint = `http://127.0.0.1:${server.addr.port}`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--ext=ts", "-", endpoint],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
    cwd: new URL("../../../", import.meta.url),
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    },
  }).spawn();
  await ReadableStream.from([new TextEncoder().encode(PROGRAM)]).pipeTo(child.stdin);
  const { success, stderr } = await child.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  assert.equal(requests, 2);
  const text = traces.join("");
  assert.match(text, /\/bucket\/a"/);
  assert.ok(!/Signature|AWS4|X-Amz|the-token/i.test(text), "a signature was exported");
});
