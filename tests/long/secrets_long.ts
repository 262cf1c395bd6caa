/**
 * No secret of a process is in anything that it lets out: output, logs, job rows, HTTP answers and
 * what OpenTelemetry exports, while every service that it needs breaks in every way.
 *
 * @module
 */

import assert from "node:assert/strict";
import { loadConfig, SETTINGS } from "../../src/config/config.ts";
import { describe } from "../../src/jobs/attempt/error_record.ts";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { createRepo } from "../../src/db/repos.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { startTestServer } from "../support/postgres/test_server.ts";
import { runMain } from "../support/process/main.ts";
import { startProcess } from "../support/process/mpackd_process.ts";
import { startAwsServices } from "../support/store/aws_services.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { startS3Double } from "../support/store/s3_double.ts";

/** Every secret begins with it, so what leaks is found whole or in part. */
const MARK = "MARKED";
const PASSWORD = `${MARK}db p@ss/word:1`;
const SECRET_KEY = `${MARK}secret/key+12345678`;
const SESSION = `${MARK}session/token+123456==`;
const ROLE = "keeper";

/** What breaks of the store; each answer repeats all that the request said. */
type Breakage = "none" | "500" | "403" | "page" | "redirect" | "hangs up";

/** Everything that a process let out, by where it was found. */
const found: [where: string, text: string][] = [];

const echo = (request: Request) =>
  [request.url, ...[...request.headers].map((field) => field.join(": "))].join(" | ")
    .replaceAll("&", "&amp;");

function startStore() {
  const double = startS3Double(), state = { breakage: "none" as Breakage };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, onError: () => new Response(null) },
    async (request) => {
      const { pathname, search } = new URL(request.url), { method, headers } = request;
      const body = await request.bytes().catch(() => new Uint8Array());
      const error = `<Error><Code>AccessDenied</Code><Message>${echo(request)}</Message></Error>`;
      switch (state.breakage) {
        case "none": {
          const hasBody = method === "PUT" || method === "POST";
          const init = { method, headers, body: hasBody ? body : undefined };
          return await fetch(double.endpoint + pathname + search, init);
        }
        case "500":
          return new Response(error, { status: 500, statusText: "Broken" });
        case "403":
          return new Response(error, { status: 403 });
        case "page":
          return new Response(`<html>${echo(request)}</html>`, {
            headers: { "content-type": "text/html" },
          });
        case "redirect":
          return Response.redirect(`http://127.0.0.1:1/?${encodeURIComponent(echo(request))}`, 307);
        case "hangs up":
          throw new Error("hung up");
      }
    },
  );
  return Object.assign(state, {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await double[Symbol.asyncDispose]();
    },
  });
}

/** Takes what OpenTelemetry exports. */
function startCollector() {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    found.push([`OpenTelemetry ${pathname}`, await request.text()]);
    return Response.json({});
  });
  return {
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${server.addr.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: "1000",
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** The text of a secret as it may be quoted: as it is, percent-encoded, in base64, as JSON. */
function formsOf(secret: string): string[] {
  return [secret, encodeURIComponent(secret), btoa(secret), JSON.stringify(secret).slice(1, -1)];
}

/** A signature is a secret, too, as long as it is valid. */
const SIGNATURE = /signature(?:"|=|:|%3D|\s)+[0-9a-f]{64}/i;

/**
 * Deno 2.9.6 exports the whole URL of a request that it serves, and nothing can take it back. With the
 * signature of a used upload URL nobody can change what is stored: tests/http/upload_parts_test.ts.
 */
const UPLOAD_SPAN =
  /\/api\/uploads\/[^"\s]*signature=[0-9a-f]{64}|"size=[^"\s]*signature=[0-9a-f]{64}"/g;

function assertNoSecret(secrets: readonly string[]): void {
  const leaks = found.flatMap(([where, whole]) => {
    const text = where.endsWith("/v1/traces") ? whole.replace(UPLOAD_SPAN, "") : whole;
    const leaked = secrets.flatMap(formsOf).find((secret) => text.includes(secret)) ??
      text.match(new RegExp(`${MARK}.{0,40}`))?.[0] ?? text.match(SIGNATURE)?.[0];
    if (leaked === undefined) return [];
    const at = text.indexOf(leaked);
    return [`${where} has ${leaked}: …${text.slice(Math.max(0, at - 200), at + 100)}…`];
  });
  assert.deepEqual(leaks, []);
}

Deno.test("no secret leaves a process while its services break", async (t) => {
  await using database = await startTestServer();
  await using store = startStore();
  await using collector = startCollector();
  const admin = connectDatabase(database.url, { maxConnections: 1 });
  await admin.sql.unsafe(`create role ${ROLE} superuser login password '${PASSWORD}'`);
  await admin.close();
  const url = new URL(database.url);
  url.username = ROLE;
  url.password = encodeURIComponent(PASSWORD);
  const env = {
    DATABASE_URL: url.href,
    MPACK_STORE: `s3://bucket?endpoint=${store.endpoint}`,
    MPACK_STORE_RETRIES: "1",
    MPACK_LOG_LEVEL: "debug",
    AWS_ACCESS_KEY_ID: "an-id",
    AWS_SECRET_ACCESS_KEY: SECRET_KEY,
    AWS_SESSION_TOKEN: SESSION,
  };
  const db = connectDatabase(url.href, { maxConnections: 1 });
  await migrate(db);
  await createRepo(db, { owner: "me", slug: "repo" });
  await db.close();
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const packOf = (seed: number) =>
    new Uint8Array(buildMpack({ objects: [object({ content: sampleBytes(3_000, seed) })] }));
  await Deno.writeFile(`${folder}/pack`, packOf(1));
  const id = mpackKey(sampleBytes(3_000, 1));
  const run = async (args: string[], more: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await runMain(args, { ...env, ...more }, { cwd: folder });
    found.push([`mpackd ${args.join(" ")}`, stdout + stderr]);
    return { code, stdout };
  };
  const made = await runMain(["identity", "create", "me", "--key", `${folder}/me.pem`], env);
  assert.equal(made.code, 0, made.stderr);
  const [token] = /mpk_\S+/.exec((await runMain(["token", "create", "me"], env)).stdout)!;
  const secrets = [PASSWORD, SECRET_KEY, SESSION, token];
  assert.equal((await run(["index", "pack", "--repo", "me/repo"])).code, 0);

  const server = startProcess(["serve", "--port", "0", "--worker"], {
    ...env,
    ...collector.env,
    OTEL_SERVICE_NAME: "serve",
  });
  const { message } = await server.line(({ message }) => /Listening on http/.test(message));
  const [api] = /http:\/\/[^\s;"]+/.exec(message)!;
  let seed = 10;
  /** Asks for everything; answers are kept, but for the URLs that the caller is to get. */
  const ask = async () => {
    const pack = packOf(seed++), key = mpackKey(pack);
    const send = async (path: string, init: RequestInit) => {
      const headers = { authorization: `Bearer ${token}`, ...init.headers };
      const answer = await fetch(path.startsWith("http") ? path : api + path, { ...init, headers })
        .catch(() => undefined);
      if (answer === undefined) return undefined;
      const text = await answer.text();
      const shown = text.replace(/"upload_url":"[^"]*"/g, "");
      found.push([`${init.method} ${path.split("?")[0]}`, shown + [...answer.headers].join()]);
      return text;
    };
    const post = (path: string, value: object) =>
      send(`/me/repo/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", prefer: "wait=1" },
        body: JSON.stringify(value),
      });
    const declared = { mpack_key: key, size_bytes: pack.length };
    const presigned = await post("push/mpack-presign", declared);
    await post("push/mpack-presign", { ...declared, part_bytes: 5_242_880 });
    const { upload_url } = JSON.parse(presigned ?? "{}");
    if (upload_url) {
      await fetch(upload_url, { method: "PUT", body: pack }).then((answer) => answer.text())
        .catch(() => {});
    }
    await post("push/unpack-mpack", { mpack_key: key });
    await post("push/mpack-complete", { mpack_key: key });
    const headers = { "x-mpack-key": mpackKey(packOf(seed)) };
    await send("/me/repo/push/stream", { method: "POST", headers, body: packOf(seed) });
    await send(`/me/repo/objects/${id}`, { method: "GET" });
    await send("/api/jobs", { method: "GET" });
    await send("/readyz", { method: "GET" });
    await send("/nothing", { method: "GET" });
  };
  const commands = [
    ["index", "pack", "--repo", "me/repo", "--upload"],
    ["cat", id, "--repo", "me/repo", "--json"],
    ["gc", "--grace", "1m", "--json"],
    ["doctor"],
  ];

  const breakages: Breakage[] = ["none", "500", "403", "page", "redirect", "hangs up"];
  for (const breakage of breakages) {
    await t.step(`the store: ${breakage}`, async () => {
      store.breakage = breakage;
      await ask();
      for (const command of commands) await run(command);
      if (breakage !== "none") assert.ok((await run(commands[0])).code > 0);
    });
  }
  store.breakage = "none";

  await t.step("the database refuses the password", async () => {
    const other = connectDatabase(database.url, { maxConnections: 1 });
    await other.sql.unsafe(`alter role ${ROLE} password 'another'`);
    await other.sql.unsafe(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${ROLE}'`,
    );
    await ask();
    for (const command of commands) assert.ok((await run(command)).code > 0);
    await other.sql.unsafe(`alter role ${ROLE} password '${PASSWORD}'`);
    // The server does not wait for its disk, and is killed next.
    await other.sql.unsafe("checkpoint");
    await other.close();
  });
  await t.step("the database is away", async () => {
    await database.kill();
    await ask();
    for (const command of [...commands, ["stats", "--json"]]) {
      assert.ok((await run(command)).code > 0);
    }
    await database.start();
  });

  await t.step("the provider of credentials repeats what it was sent", async () => {
    await using aws = startAwsServices();
    const jwt = `${MARK}.web-identity.token`;
    await Deno.writeTextFile(`${folder}/token`, jwt);
    const provided = {
      AWS_ACCESS_KEY_ID: "",
      AWS_SECRET_ACCESS_KEY: "",
      AWS_SESSION_TOKEN: "",
      AWS_WEB_IDENTITY_TOKEN_FILE: `${folder}/token`,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/packs",
      AWS_ENDPOINT_URL_STS: aws.url,
    };
    for (const breakage of ["none", "403"] as const) {
      store.breakage = breakage;
      const index = ["index", "pack", "--repo", "me/repo", "--upload"];
      const { code } = await run(index, provided);
      assert.equal(code === 0, breakage === "none");
      assert.ok(aws.given > 0);
    }
    store.breakage = "none";
    aws.isBroken = true;
    assert.ok((await run(["gc"], provided)).code > 0);
    secrets.push(jwt);
    for (let n = 1; n <= aws.given; n++) secrets.push(`secret-of-${n}`, `session-of-${n}`);
  });

  await t.step("a folder takes uploads by signed URLs", async () => {
    // The database owns another store.
    const adopted = await run(["store", "adopt"], { MPACK_STORE: `file://${folder}/blobs` });
    assert.equal(adopted.code, 0);
    await using other = startProcess(["serve", "--port", "0"], {
      ...env,
      ...collector.env,
      MPACK_STORE: `file://${folder}/blobs`,
    });
    const { message } = await other.line(({ message }) => /Listening on http/.test(message));
    const [base] = /http:\/\/[^\s;"]+/.exec(message)!;
    for (const more of [{}, { part_bytes: 5_242_880 }]) {
      const pack = packOf(seed++);
      const answer = await fetch(`${base}/me/repo/push/mpack-presign`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: JSON.stringify({ mpack_key: mpackKey(pack), size_bytes: pack.length, ...more }),
      });
      const { upload_url, parts } = await answer.json();
      const url = upload_url ?? parts.missing[0].upload_url;
      for (const target of [url, url.replace(/.$/, "0")]) {
        const put = await fetch(target, { method: "PUT", body: pack });
        found.push([`PUT to a folder, ${put.status}`, await put.text()]);
      }
    }
    other.kill("SIGTERM");
    const { stdout, stderr } = await other.ended;
    found.push(["serve on a folder", stdout + stderr]);
  });

  await t.step("settings are wrong, and hold secrets where none belong", async () => {
    const values = [`${MARK}\n${MARK}`, `https://me:${MARK}pass@127.0.0.1:1/x`];
    for (const { env: name, isSecret } of Object.values(SETTINGS)) {
      for (const value of isSecret ? [...values, MARK] : values) {
        try {
          loadConfig({ [name]: value });
        } catch (error) {
          found.push([`${name}=${value}`, describe(error as Error).message]);
        }
      }
    }
    const places = {
      MPACK_STORE: `s3://me:${MARK}pass@bucket`,
      MPACK_HTTP_URL: `https://me:${MARK}pass@host`,
    };
    for (const [name, value] of Object.entries(places)) {
      for (const command of [["config"], ["config", "--json"], ["gc", "--json"]]) {
        await run(command, { [name]: value });
      }
    }
  });

  server.kill("SIGTERM");
  const { stdout, stderr } = await server.ended;
  found.push(["serve", stdout + stderr]);
  const rows = connectDatabase(database.url, { maxConnections: 1 });
  for (const table of ["musehub_background_jobs", "musehub_mpacks", "mpackd_uploads"]) {
    const texts = await rows.sql.unsafe(`select row_to_json(t)::text as text from ${table} t`);
    found.push([table, texts.map(({ text }) => text).join("\n")]);
  }
  await rows.close();
  await Deno.remove(folder, { recursive: true });

  await t.step("what was let out is there to be searched", () => {
    const places = new Set(found.map(([where]) => where.split(" ")[0]));
    for (const place of ["OpenTelemetry", "mpackd", "serve", "POST", "musehub_background_jobs"]) {
      assert.ok(places.has(place), place);
    }
    const spans = found.filter(([where]) => where.endsWith("/v1/traces")).map(([, text]) => text);
    assert.match(spans.join(), /mpack-presign/);
    assert.match(stderr, /AccessDenied/);
  });
  await t.step("none of it has a secret", () => assertNoSecret(secrets));
});
