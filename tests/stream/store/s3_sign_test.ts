import assert from "node:assert/strict";
import { AwsV4Signer } from "aws4fetch";
import { S3Presigner, URL_EXPIRES_SECONDS } from "../../../src/stream/store/s3/presign.ts";
import { S3Signer } from "../../../src/stream/store/s3/sign.ts";

const IDENTITY = {
  bucket: "bucket",
  endpoint: "http://store.test:8080",
  region: "eu-west-1",
  accessKeyId: "key",
  secretAccessKey: "secret",
};
const DATE = new Date("2026-11-23T08:00:00Z");

/** Who asks in the examples that Amazon publishes with every step of their signatures. */
const AMAZON = {
  bucket: "examplebucket",
  endpoint: "https://s3.amazonaws.com",
  region: "us-east-1",
  pathStyle: false,
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

/** SHA-256 of no bytes. */
const NO_BYTES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

Deno.test("sign() makes the signatures of Amazon's own examples", () => {
  const signer = new S3Signer(AMAZON);
  const request = { method: "GET", objectKey: "", bodySha256Hex: NO_BYTES };
  const date = new Date("2013-05-24T00:00:00Z");
  const lifecycle = signer.sign({ ...request, query: { lifecycle: "" }, date });
  assert.equal(lifecycle.url, "https://examplebucket.s3.amazonaws.com/?lifecycle=");
  assert.equal(
    lifecycle.headers.authorization,
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date, " +
      "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  );
  const listing = signer.sign({ ...request, query: { prefix: "J", "max-keys": "2" }, date });
  assert.match(
    listing.headers.authorization,
    /Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7$/,
  );
  // The key of one day is kept: another day needs another.
  const later = signer.sign({ ...request, date: new Date("2013-05-25T00:00:00Z") });
  const fresh = new S3Signer(AMAZON)
    .sign({ ...request, date: new Date("2013-05-25T00:00:00Z") });
  assert.deepEqual(later, fresh);
});

Deno.test("presign() makes the URL that Amazon's own example makes", async () => {
  const signer = new S3Presigner("s3://examplebucket", AMAZON);
  const url = new URL(
    await signer.presign({
      method: "GET",
      objectKey: "test.txt",
      expiresSeconds: 86_400,
      date: new Date("2013-05-24T00:00:00Z"),
    }),
  );
  assert.equal(url.origin + url.pathname, "https://examplebucket.s3.amazonaws.com/test.txt");
  assert.equal(
    url.searchParams.get("X-Amz-Signature"),
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  );
});

Deno.test("sign() and presign() agree with another signer on every request", async (t) => {
  const cases = [
    { name: "an object", method: "GET", objectKey: "mpacks/r1/sha256:ab" },
    { name: "an odd key", method: "DELETE", objectKey: "é/ü &<>'\"+%41!()*#" },
    { name: "a key with a question mark", method: "HEAD", objectKey: "a?b=c" },
    { name: "the bucket", method: "HEAD", objectKey: "" },
    {
      name: "a listing",
      method: "GET",
      objectKey: "",
      query: { "list-type": "2", prefix: "a b+c/é?=&*'", "continuation-token": "x/y+z==" },
    },
    { name: "the start of an upload", method: "POST", objectKey: "a", query: { uploads: "" } },
    {
      name: "a part",
      method: "PUT",
      objectKey: "a",
      query: { partNumber: "7", uploadId: "x~y/z==" },
    },
    {
      name: "a bound length and digest",
      method: "PUT",
      objectKey: "a",
      headers: { "content-length": "12", "x-amz-checksum-sha256": "A".repeat(43) + "=" },
    },
  ] as const;
  const places = [
    [IDENTITY, "http://store.test:8080/bucket/"],
    [{ ...IDENTITY, pathStyle: false }, "http://bucket.store.test:8080/"],
    [{ ...IDENTITY, endpoint: "http://store.test/s3/" }, "http://store.test/s3/bucket/"],
    [{ ...IDENTITY, bucket: "b_1", sessionToken: "to/k+n" }, "http://store.test:8080/b_1/"],
  ] as const;
  for (const { name, ...request } of cases) {
    await t.step(name, async () => {
      for (const [identity, base] of places) {
        const query = "query" in request ? request.query : {};
        const headers = "headers" in request ? request.headers : {};
        const path = request.objectKey.split("/").map(encodeURIComponent).join("/");
        const other = (search: URLSearchParams, options: object) =>
          new AwsV4Signer({
            ...identity,
            service: "s3",
            method: request.method,
            url: `${base}${path}?${search.toString().replaceAll("+", "%20")}`,
            datetime: "20261123T080000Z",
            ...options,
          }).sign();
        const asked = { ...request, date: DATE };
        const found = new URL(await new S3Presigner("s3://b", identity).presign(asked));
        const search = new URLSearchParams({
          ...query,
          "X-Amz-Expires": String(URL_EXPIRES_SECONDS),
        });
        const expected = await other(search, { headers, signQuery: true, allHeaders: true });
        assert.equal(found.origin + found.pathname, expected.url.origin + expected.url.pathname);
        assert.deepEqual([...found.searchParams].sort(), [...expected.url.searchParams].sort());
        const signed = new S3Signer(identity).sign(asked);
        const byOther = await other(new URLSearchParams(query), {});
        const at = new URL(signed.url);
        assert.equal(decodeURI(at.origin + at.pathname), decodeURI(base + path));
        assert.deepEqual([...at.searchParams].sort(), [...byOther.url.searchParams].sort());
        assert.deepEqual(signed.headers, Object.fromEntries(byOther.headers));
        assert.ok(!signed.url.includes("Signature"));
        assert.ok(!found.href.includes(identity.secretAccessKey));
      }
    });
  }
});
