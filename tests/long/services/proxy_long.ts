/**
 * `mpackd serve` behind the proxies of examples/proxy, as they stand there: only addresses, ports and
 * the certificate's files are other ones.
 *
 * @module
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { findHandle } from "../../../src/db/identities.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { makeCertificates } from "../../support/postgres/certificates.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { freePort } from "../../support/process/free_port.ts";
import { runMain } from "../../support/process/main.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { sampleBytes } from "../../support/store/blobs.ts";

const MIB = 1024 * 1024;
/** A repo, and what its owner may push: longer than any buffer of a proxy. */
const CONTENT = sampleBytes(64 * MIB, 1);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: CONTENT })] }));

interface Proxy {
  readonly program: string;
  readonly file: string;
  readonly args: (file: string) => string[];
  /** The ports and files of the example, and those of the test. */
  readonly replace: (place: Place) => [string, string][];
}

interface Place {
  readonly port: number;
  readonly server: number;
  readonly cert: string;
  readonly key: string;
  readonly pem: string;
}

const PROXIES: readonly Proxy[] = [{
  program: "nginx",
  file: "nginx.conf",
  args: (file) => [
    ...["-c", file, "-e", "stderr", "-g"],
    `daemon off; pid ${file}.pid;`,
  ],
  replace: ({ port, server, cert, key }) => [
    ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl; access_log off;`],
    ["127.0.0.1:8080", `127.0.0.1:${server}`],
    ["/etc/mpackd/packs.crt", cert],
    ["/etc/mpackd/packs.key", key],
  ],
}, {
  program: "haproxy",
  file: "haproxy.cfg",
  args: (file) => ["-db", "-f", file],
  replace: ({ port, server, pem }) => [
    ["bind :443", `bind 127.0.0.1:${port}`],
    ["127.0.0.1:8080", `127.0.0.1:${server}`],
    ["/etc/mpackd/packs.pem", pem],
  ],
}];

/** A program is not found where Debian's package is missing; .ci/run installs both. */
async function pathOf(program: string): Promise<string | undefined> {
  const { success } = await new Deno.Command("which", { args: [program], stdout: "null" }).output();
  return success ? program : `/usr/sbin/${program}`;
}

async function configure({ file, replace }: Proxy, place: Place, folder: string): Promise<string> {
  const example = new URL(`../../../examples/proxy/${file}`, import.meta.url);
  let text = await Deno.readTextFile(fileURLToPath(example));
  for (const [from, to] of replace(place)) {
    assert(text.includes(from), `${file} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  const path = `${folder}/${file}`;
  await Deno.writeTextFile(path, text);
  return path;
}

for (const proxy of PROXIES) {
  Deno.test(`a push, a read and events through ${proxy.program} as examples/proxy sets it up`, async (t) => {
    await using fixture = await createFixture();
    const folder = `${fixture.folder}-proxy`;
    const { ca, localhost } = await makeCertificates(folder);
    const pem = `${folder}/packs.pem`;
    const parts = await Promise.all([localhost.cert, localhost.key].map((at) => Deno.readFile(at)));
    await Deno.writeFile(pem, await new Blob(parts).bytes());
    const place = { port: await freePort(), server: await freePort(), ...localhost, pem };
    const url = `https://localhost:${place.port}`;
    const keyFile = `${folder}/me.pem`;
    const admin = { DATABASE_URL: fixture.databaseUrl };
    const made = await runMain(["identity", "create", "me", "--key", keyFile], admin);
    assert.equal(made.code, 0, made.stderr);
    const { identityId } = (await findHandle(fixture.db, "me"))!;
    assert(identityId);

    await using server = startWorkerProcess({
      ...fixture,
      command: "serve",
      args: ["--port", String(place.server), "--worker"],
      env: { MPACK_HTTP_URL: url, MPACK_HTTP_PROXIES: "127.0.0.1" },
    });
    await server.line(({ message }) => message.startsWith("Listening on "));
    const child = new Deno.Command((await pathOf(proxy.program))!, {
      args: proxy.args(await configure(proxy, place, folder)),
      stdout: "null",
      stderr: "null",
    }).spawn();
    await using _proxy = {
      async [Symbol.asyncDispose]() {
        child.kill("SIGTERM");
        await child.status;
        await Deno.remove(folder, { recursive: true });
      },
    };
    using client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(ca)] });
    const ask = (path: string, init: RequestInit = {}) => fetch(url + path, { ...init, client });
    for (let tries = 0; tries < 100; tries++) {
      const isReady = await ask("/readyz").then(async (answer) => {
        await answer.body?.cancel();
        return answer.ok;
      }, () => false);
      if (isReady) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const trusted = { NODE_EXTRA_CA_CERTS: ca };
    const pack = `${folder}/pack`;
    await Deno.writeFile(pack, PACK);

    await t.step("a signed push of 64 MiB in one request", async () => {
      const args = ["--remote", url, "--repo", "me/repo", "--key", keyFile, "--json"];
      const { code, stdout, stderr } = await runMain(["push", pack, ...args], trusted);
      assert.equal(code, 0, stderr);
      assert.equal(JSON.parse(stdout).mpack_key, mpackKey(PACK));
    });
    const token = await runMain(
      ["token", "create", "me", "--scopes", "read,push,admin", "--json"],
      admin,
    );
    assert.equal(token.code, 0, token.stderr);
    const headers = { authorization: `Bearer ${JSON.parse(token.stdout).token}` };
    await t.step("the object, whole and by range", async () => {
      const path = `/me/repo/objects/${mpackKey(CONTENT)}`;
      const whole = await ask(path, { headers });
      assert.equal(mpackKey(new Uint8Array(await whole.arrayBuffer())), mpackKey(CONTENT));
      const part = await ask(path, { headers: { ...headers, range: "bytes=5-9" } });
      assert.deepEqual(new Uint8Array(await part.arrayBuffer()), CONTENT.slice(5, 10));
    });
    await t.step("events come while they happen", async () => {
      const jobs = await (await ask("/api/jobs", { headers })).json();
      const [{ jobId }] = jobs.jobs;
      const events = await ask(`/api/jobs/${encodeURIComponent(jobId)}/events`, { headers });
      assert.match(await events.text(), /event: done/);
    });
    await t.step(
      "a refusal is of the client, and the log has its address's limits apart",
      async () => {
        const answer = await ask("/me/none/refs", {
          headers: { "x-forwarded-for": "203.0.113.9" },
        });
        await answer.body?.cancel();
        assert.equal(answer.status, 404);
      },
    );
    server.kill("SIGTERM");
    assert.equal((await server.status).code, 0);
  });
}
