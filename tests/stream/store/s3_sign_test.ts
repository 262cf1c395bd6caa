import assert from "node:assert/strict";
import { S3Client as S3LiteClient } from "@bradenmacdonald/s3-lite-client";
import {
  type HeaderSignable,
  type S3Identity,
  S3Signer,
} from "../../../src/stream/store/s3/sign.ts";

const IDENTITY = {
  bucket: "bucket",
  endpoint: "http://store.test:8080",
  region: "eu-west-1",
  accessKeyId: "key",
  secretAccessKey: "secret",
};

/** The identity of the examples that Amazon publishes with every step of their signatures. */
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
  const request = { method: "GET", objectKey: "", bodySha256Hex: NO_BYTES } as const;
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
  // The signer caches the key of one day; another day needs another key.
  const later = signer.sign({ ...request, date: new Date("2013-05-25T00:00:00Z") });
  const fresh = new S3Signer(AMAZON)
    .sign({ ...request, date: new Date("2013-05-25T00:00:00Z") });
  assert.deepEqual(later, fresh);
});

Deno.test("presign() makes the URL that Amazon's own example makes", async () => {
  const signer = new S3Signer(AMAZON);
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

/** The request that s3-lite-client would send. */
async function requestByOther(
  identity: S3Identity,
  { method, objectKey, query }: Pick<HeaderSignable, "method" | "objectKey" | "query">,
): Promise<Request> {
  const { endpoint, accessKeyId, secretAccessKey, ...rest } = identity;
  class AnyName extends S3LiteClient {
    protected override getBucketName = () => identity.bucket;
  }
  const client = new AnyName({
    ...rest,
    endPoint: endpoint,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
  });
  const realFetch = globalThis.fetch;
  let sent: Request | undefined;
  globalThis.fetch = (input, init) => {
    sent = new Request(input, { ...init, body: undefined });
    return Promise.resolve(new Response());
  };
  try {
    await client.makeRequest({ method, objectName: objectKey, query });
  } finally {
    globalThis.fetch = realFetch;
  }
  return sent!;
}

Deno.test("sign() agrees with another signer on every request", async (t) => {
  const cases = [
    { name: "an object", method: "GET", objectKey: "mpacks/r1/sha256:ab" },
    { name: "an odd key", method: "DELETE", objectKey: "é/ü &<>'\"+%41!()*#" },
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
  ] as const;
  const places: S3Identity[] = [
    IDENTITY,
    { ...IDENTITY, pathStyle: false },
    { ...IDENTITY, endpoint: "http://store.test/s3/" },
    { ...IDENTITY, bucket: "b_1", sessionToken: "to/k+n" },
  ];
  for (const { name, ...request } of cases) {
    await t.step(name, async () => {
      for (const identity of places) {
        const other = await requestByOther(identity, request);
        const date = dateOf(other.headers.get("x-amz-date")!);
        const signed = new S3Signer(identity).sign({ ...request, date, bodySha256Hex: NO_BYTES });
        const url = new URL(signed.url), expected = new URL(other.url);
        assert.equal(
          decodeURI(url.origin + url.pathname),
          decodeURI(expected.origin + expected.pathname),
        );
        assert.deepEqual([...url.searchParams].sort(), [...expected.searchParams].sort());
        for (const [key, value] of Object.entries(signed.headers)) {
          assert.equal(other.headers.get(key), value, key);
        }
        assert.ok(!signed.url.includes("Signature"));
      }
    });
  }
});

function dateOf(text: string): Date {
  return new Date(text.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5"));
}
