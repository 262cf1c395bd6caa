import assert from "node:assert/strict";
import { resolve } from "node:path";
import { ConfigError } from "../../../src/errors.ts";
import { openStore } from "../../../src/stream/store/open_store.ts";

const CREDENTIALS = { accessKeyId: "key", secretAccessKey: "the-secret" };

async function hostAndPathOf(urlText: string): Promise<string> {
  const signed = await openStore(urlText, CREDENTIALS).presignPut("a:b", { expiresSeconds: 1 });
  const { origin, pathname } = new URL(signed?.url ?? "");
  return origin + pathname;
}

Deno.test("openStore() opens folders", () => {
  assert.equal(openStore("file:///data/my%20blobs").url, "file:///data/my%20blobs");
  assert.equal(openStore("file://localhost/data").url, "file:///data");
  assert.equal(openStore("/data/blobs").url, "file:///data/blobs");
  assert.equal(openStore("./blobs").url, `file://${resolve("blobs")}`);
});

Deno.test("openStore() opens buckets, Amazon's and others'", async () => {
  const cases = {
    "s3://bucket": "https://bucket.s3.us-east-1.amazonaws.com/a%3Ab",
    "s3://bucket/x/y/?region=eu-west-1": "https://bucket.s3.eu-west-1.amazonaws.com/x/y/a%3Ab",
    "s3://bucket?style=path": "https://s3.us-east-1.amazonaws.com/bucket/a%3Ab",
    "s3://my.bucket": "https://s3.us-east-1.amazonaws.com/my.bucket/a%3Ab",
    "s3://Bucket_1?endpoint=http://127.0.0.1:9000": "http://127.0.0.1:9000/Bucket_1/a%3Ab",
    "s3://bucket/p?endpoint=https%3A%2F%2Fhost%2Fs3%2F": "https://host/s3/bucket/p/a%3Ab",
    "s3://bucket?endpoint=http://host:1&style=virtual": "http://bucket.host:1/a%3Ab",
    "s3://bucket?endpoint=http://inside:1&public_endpoint=https://s3.example":
      "https://s3.example/bucket/a%3Ab",
  };
  for (const [urlText, expected] of Object.entries(cases)) {
    assert.equal(await hostAndPathOf(urlText), expected);
  }
  assert.equal(openStore("s3://bucket/x/?region=eu", CREDENTIALS).url, "s3://bucket/x");
});

Deno.test("openStore() names the part that is wrong, and no secret", async (t) => {
  const cases: [string, RegExp][] = [
    ["", /URL is empty/],
    ["ftp://host/x", /scheme "ftp"/],
    ["file://host/x", /file:\/\/host\/x.*absolute path/],
    ["file:relative", /absolute path/],
    ["file:///x?y=1", /query/],
    ["s3://", /"" is not a bucket name/],
    ["s3://a..b", /"a..b" is not a bucket name/],
    ["s3://key:the-secret@bucket", /credentials do not belong/],
    ["s3://bucket/x?end=1", /parameter "end"/],
    ["s3://bucket?region=a&region=b", /region is given twice/],
    ["s3://bucket?region=a/b", /region is not a word/],
    ["s3://bucket?style=odd", /style is neither/],
    ["s3://bucket?endpoint=host:9000", /endpoint is neither http nor https/],
    ["s3://bucket?endpoint=9000", /endpoint is not a URL/],
    ["s3://bucket?endpoint=http://u:the-secret@h", /endpoint holds credentials/],
    ["s3://bucket?endpoint=http://h/?the-secret", /endpoint has a query/],
    ["s3://bucket?endpoint=http://h/a%2520b", /endpoint has a path that needs/],
    ["s3://bucket?endpoint=http://h/s3&style=virtual", /endpoint has a path/],
    ["s3://bucket?public_endpoint=h:1", /public_endpoint is neither http nor https/],
    ["s3://bucket?style=virtual&public_endpoint=http://h/s3", /public_endpoint has a path/],
    ["s3://bucket/../x", /segment \.\./],
    ["s3://bucket/%ff", /percent-encoded/],
    ["s3://bucket#x", /fragment/],
  ];
  for (const [urlText, message] of cases) {
    await t.step(
      urlText || "(empty)",
      () =>
        assert.throws(() => openStore(urlText, CREDENTIALS), (error: Error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, message);
          assert.ok(!error.message.includes("the-secret"), error.message);
          return true;
        }),
    );
  }
  await t.step("credentials that no header can hold", () => {
    const sessionToken = "the-token";
    const all = { ...CREDENTIALS, accessKeyId: "the-id", sessionToken };
    for (const [name, value] of Object.entries(all)) {
      for (const character of ["\n", "\r", "\0", " ", "é"]) {
        const options = { ...all, [name]: value + character };
        assert.throws(() => openStore("s3://bucket", options), (error: Error) => {
          assert.ok(error instanceof ConfigError, Deno.inspect(error));
          assert.match(error.message, /has a character that no header can hold \(AWS_/);
          assert.ok(!/the-(id|secret|token)/.test(Deno.inspect(error)));
          return true;
        });
      }
    }
  });
  await t.step("no credentials", () => {
    assert.throws(() => openStore("s3://bucket", { secretAccessKey: "s" }), /AWS_ACCESS_KEY_ID/);
    assert.throws(() => openStore("s3://bucket", { accessKeyId: "k" }), /AWS_SECRET_ACCESS_KEY/);
    assert.throws(
      () => openStore("s3://bucket", { accessKeyId: "ASIA1", secretAccessKey: "s" }),
      (error) => error instanceof ConfigError && /session token/.test(error.message),
    );
  });
});
