import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ConfigError, StoreError } from "../../../src/errors.ts";
import { redact } from "../../../src/lib/redact.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { openS3Store } from "../../../src/stream/store/s3/s3_store.ts";
import { runMain } from "../../support/process/main.ts";
import { type AwsServices, startAwsServices } from "../../support/store/aws_services.ts";
import { bodyOf } from "../../support/store/blobs.ts";

/** New ones are fetched five minutes before the end. */
const EARLY_MS = 5 * 60_000;

interface Bucket extends AsyncDisposable {
  readonly endpoint: string;
  /** The access key of each request, and the session token. */
  readonly keys: string[];
  /** An access key that the bucket refuses, and the code. */
  refused?: { readonly key: string; readonly code: string };
}

/** A bucket that takes every PUT and remembers who sent it. */
function startBucket(): Bucket {
  const keys: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    await request.body?.cancel();
    const [, key] = /Credential=([^/]+)/.exec(request.headers.get("authorization") ?? "") ?? [];
    keys.push(`${key} ${request.headers.get("x-amz-security-token")}`);
    if (key === bucket.refused?.key) {
      return new Response(`<Error><Code>${bucket.refused.code}</Code></Error>`, { status: 400 });
    }
    return new Response(null, { headers: { etag: '"00000000000000000000000000000000"' } });
  });
  const bucket: Bucket = {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    keys,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return bucket;
}

const AWS = Object.keys(Deno.env.toObject()).filter((name) => name.startsWith("AWS_"));

/** Runs `work` with these variables, and no others of Amazon's. */
async function withEnv(env: Record<string, string>, work: () => Promise<void>): Promise<void> {
  const home = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const all = { HOME: home, AWS_EC2_METADATA_DISABLED: "true", ...env };
  const names = [...new Set([...AWS, ...Object.keys(all)])];
  const old = names.map((name) => [name, Deno.env.get(name)] as const);
  for (const name of AWS) Deno.env.delete(name);
  for (const [name, value] of Object.entries(all)) Deno.env.set(name, value);
  try {
    await work();
  } finally {
    for (const [name, value] of old) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
    await Deno.remove(home, { recursive: true });
  }
}

const put = (store: BlobStore) => store.put("a", bodyOf(new Uint8Array(3)), { sizeBytes: 3 });
const RETRY_MS = 800;
const open = (bucket: Bucket, renewRetryMs = RETRY_MS) =>
  openS3Store({
    bucket: "bucket",
    endpoint: bucket.endpoint,
    region: "eu-west-1",
    retries: 1,
    retryBaseMs: 1,
    renewRetryMs,
  });
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function tokenFile(text: string): Promise<string> {
  const path = await Deno.makeTempFile({ prefix: "mpackd-test-" });
  await Deno.writeTextFile(path, text);
  return path;
}

const webIdentity = (aws: AwsServices, path: string) => ({
  AWS_WEB_IDENTITY_TOKEN_FILE: path,
  AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/packs",
  AWS_ENDPOINT_URL_STS: aws.url,
});

Deno.test("a store's credentials come from a web identity, and are renewed while it is used", async (t) => {
  await using aws = startAwsServices();
  await using bucket = startBucket();
  const path = await tokenFile("first-token");
  const store = open(bucket);
  await withEnv(webIdentity(aws, path), async () => {
    await t.step("fetched once for many requests", async () => {
      aws.validMs = EARLY_MS + 900;
      await Promise.all([put(store), put(store), put(store)]);
      assert.deepEqual(new Set(bucket.keys), new Set(["KEY-1 session-of-1"]));
      assert.match(aws.requests.join(), /WebIdentityToken=first-token/);
      assert.equal(redact("secret-of-1, session-of-1"), "***, ***");
    });
    await t.step("an upload URL ends with them", async () => {
      const signed = await store.presignPut("a", { expiresSeconds: 3_600 });
      assert.ok(signed!.expiresAt.getTime() - Date.now() < EARLY_MS + 900);
    });
    await t.step("renewed before their end, with the token file as it is then", async () => {
      await Deno.writeTextFile(path, "second-token");
      aws.validMs = 3_600_000;
      await put(store);
      assert.equal(bucket.keys.at(-1), "KEY-1 session-of-1");
      await wait(1_000);
      await put(store);
      assert.equal(bucket.keys.at(-1), "KEY-2 session-of-2");
      assert.match(aws.requests.at(-1)!, /WebIdentityToken=second-token/);
      assert.equal(redact("secret-of-1 secret-of-2"), "secret-of-1 ***");
    });
    await t.step(
      "a refusal before their end renews them, and the request is sent again",
      async () => {
        bucket.refused = { key: "KEY-2", code: "ExpiredToken" };
        await assert.rejects(put(store), /ExpiredToken/, "no sooner than that");
        await wait(RETRY_MS + 20);
        await put(store);
        assert.equal(bucket.keys.at(-1), "KEY-3 session-of-3");
      },
    );
  });
  await Deno.remove(path);
});

Deno.test("a store goes on with valid credentials while their provider is away", async () => {
  await using aws = startAwsServices();
  await using bucket = startBucket();
  const path = await tokenFile("token"), store = open(bucket, 60_000);
  await withEnv(webIdentity(aws, path), async () => {
    aws.isBroken = true;
    const signing = store.presignPut("a", { expiresSeconds: 60 });
    await assert.rejects(signing, { name: "StoreError", code: "store-unavailable" });
    await assert.rejects(put(store), (error: Error) => {
      assert.ok(error instanceof StoreError && error.retryable, Deno.inspect(error));
      assert.equal(error.code, "store-unavailable");
      assert.match(error.message, /no credentials for the store .* Tried environment \(AWS_ACCESS/);
      assert.match(error.message, /web identity \(AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN\)/);
      return true;
    });
    aws.isBroken = false;
    aws.validMs = EARLY_MS - 1_000;
    await put(store);
    aws.isBroken = true;
    const before = aws.requests.length;
    for (let n = 0; n < 20; n++) await put(store);
    assert.equal(aws.requests.length, before, "one try at most in that time");
    assert.equal(bucket.keys.at(-1), "KEY-1 session-of-1");
  });
  await Deno.remove(path);
});

Deno.test("a store's credentials come from each of the other places", async (t) => {
  await using aws = startAwsServices();
  await using bucket = startBucket();
  const expect = async (env: Record<string, string>) => {
    const wanted = aws.given + 1;
    await withEnv(env, async () => void await put(open(bucket)));
    assert.equal(bucket.keys.at(-1), `KEY-${wanted} session-of-${wanted}`);
  };
  await t.step(
    "the metadata of a container",
    () => expect({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.url}/container` }),
  );
  await t.step("the metadata of an instance", () =>
    expect({
      AWS_EC2_METADATA_DISABLED: "false",
      AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.url,
    }));
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const config = `${folder}/config`, credentials = `${folder}/credentials`;
  await t.step("a profile, whose file is read again when the store refuses its keys", async () => {
    await Deno.writeTextFile(config, "");
    const write = (key: string) =>
      Deno.writeTextFile(
        credentials,
        `[packs]\naws_access_key_id = ${key}\naws_secret_access_key = hidden-${key}\n`,
      );
    await write("FILE-1");
    const env = {
      AWS_PROFILE: "packs",
      AWS_CONFIG_FILE: config,
      AWS_SHARED_CREDENTIALS_FILE: credentials,
    };
    await withEnv(env, async () => {
      const store = open(bucket);
      await put(store);
      assert.equal(bucket.keys.at(-1), "FILE-1 null");
      await write("FILE-2");
      bucket.refused = { key: "FILE-1", code: "InvalidAccessKeyId" };
      await wait(RETRY_MS + 20);
      await put(store);
      assert.equal(bucket.keys.at(-1), "FILE-2 null");
    });
  });
  await t.step("the cache of an SSO login", async () => {
    await Deno.writeTextFile(
      config,
      `[profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n` +
        `[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://x.awsapps.com/start\n`,
    );
    await Deno.mkdir(`${folder}/.aws/sso/cache`, { recursive: true });
    const name = createHash("sha1").update("s").digest("hex");
    await Deno.writeTextFile(
      `${folder}/.aws/sso/cache/${name}.json`,
      JSON.stringify({
        accessToken: "login",
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      }),
    );
    await expect({
      HOME: folder,
      AWS_PROFILE: "sso",
      AWS_CONFIG_FILE: config,
      AWS_SHARED_CREDENTIALS_FILE: credentials,
      AWS_ENDPOINT_URL_SSO: aws.url,
    });
  });
  await t.step("nowhere: the error names all places", async () => {
    await withEnv({}, async () => {
      await assert.rejects(put(open(bucket)), (error: Error) => {
        assert.ok(error instanceof ConfigError, Deno.inspect(error));
        for (const place of ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "metadata"]) {
          assert.ok(error.message.includes(place), error.message);
        }
        return true;
      });
    });
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("static keys load no provider, and half of them are refused", async (t) => {
  await using bucket = startBucket();
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  // A chain that cannot be loaded stands for the one that must not be.
  const broken = `${folder}/broken.ts`;
  await Deno.writeTextFile(broken, `throw new Error("the provider chain was loaded");`);
  const { imports, unstable } = JSON.parse(await Deno.readTextFile("deno.json"));
  const name = "@aws-sdk/credential-provider-node";
  const config = { imports: { ...imports, [name]: `file://${broken}` }, unstable };
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
  const script = `${folder}/put.ts`, module = import.meta.resolve("../../../src/");
  await Deno.writeTextFile(
    script,
    `import { openStore } from "${module}stream/store/open_store.ts";
    const store = openStore(Deno.args[0], JSON.parse(Deno.args[1]));
    await store.put("a", (async function* () { yield new Uint8Array(3); })(), { sizeBytes: 3 });`,
  );
  const url = `s3://bucket?endpoint=${bucket.endpoint}`;
  const run = async (keys: object) => {
    const args = ["run", "-A", "--quiet", "--no-check", "--no-lock", "--config"];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args, `${folder}/deno.json`, script, url, JSON.stringify(keys)],
      env: { NO_COLOR: "1", AWS_EC2_METADATA_DISABLED: "true" },
    }).output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  };
  await t.step("with keys it is not loaded", async () => {
    const { code, stderr } = await run({ accessKeyId: "STATIC", secretAccessKey: "k" });
    assert.equal(code, 0, stderr);
    assert.equal(bucket.keys.at(-1), "STATIC null");
  });
  await t.step("without keys it is", async () => {
    const { code, stderr } = await run({});
    assert.notEqual(code, 0);
    assert.match(stderr, /the provider chain was loaded/);
  });
  await t.step("a provider that fails: 4, and no stack", async () => {
    const { code, stderr } = await runMain(["gc"], {
      MPACK_STORE: url,
      MPACK_STORE_RETRIES: "0",
      AWS_WEB_IDENTITY_TOKEN_FILE: `${folder}/none`,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/packs",
    });
    assert.equal(code, 4, stderr);
    assert.match(stderr, /no credentials for the store .*\(store-unavailable\)\n$/);
  });
  await t.step("one key without the other: 2", async () => {
    const env = { MPACK_STORE: url, AWS_ACCESS_KEY_ID: "k" };
    const { code, stderr } = await runMain(["gc"], env);
    assert.equal(code, 2);
    assert.match(stderr, /AWS_SECRET_ACCESS_KEY/);
  });
  await Deno.remove(folder, { recursive: true });
});
