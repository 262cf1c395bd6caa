import assert from "node:assert/strict";
import { AwsV4Signer } from "aws4fetch";
import { REQUEST_EXPIRES_SECONDS, S3Signer } from "../../src/stream/s3_sign.ts";

const IDENTITY = {
  bucket: "bucket",
  endpoint: "http://store.test:8080",
  region: "eu-west-1",
  accessKeyId: "key",
  secretAccessKey: "secret",
};
const DATE = new Date("2026-11-23T08:00:00Z");

/** The example that Amazon publishes with every step of its signature. */
Deno.test("sign() makes the URL that Amazon's own example makes", async () => {
  const signer = new S3Signer("s3://examplebucket", {
    bucket: "examplebucket",
    endpoint: "https://s3.amazonaws.com",
    region: "us-east-1",
    pathStyle: false,
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  });
  const url = new URL(
    await signer.sign({
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

Deno.test("sign() agrees with another signer on every kind of request", async (t) => {
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
        const found = new URL(
          await new S3Signer("s3://b", identity).sign({ ...request, date: DATE }),
        );
        const query = "query" in request ? request.query : {};
        const search = new URLSearchParams({
          ...query,
          "X-Amz-Expires": String(REQUEST_EXPIRES_SECONDS),
        });
        const path = request.objectKey.split("/").map(encodeURIComponent).join("/");
        const expected = await new AwsV4Signer({
          ...identity,
          service: "s3",
          method: request.method,
          url: `${base}${path}?${search.toString().replaceAll("+", "%20")}`,
          headers: "headers" in request ? request.headers : {},
          datetime: "20261123T080000Z",
          signQuery: true,
          allHeaders: true,
        }).sign();
        assert.equal(found.origin + found.pathname, expected.url.origin + expected.url.pathname);
        assert.deepEqual([...found.searchParams].sort(), [...expected.url.searchParams].sort());
        assert.ok(!found.href.includes(identity.secretAccessKey));
      }
    });
  }
});
