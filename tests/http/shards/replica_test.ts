import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { findShard } from "../../../src/db/shards/catalog.ts";
import { shardUrl } from "../../../src/db/shards/shard.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { runMain } from "../../support/process/main.ts";
import { startServer } from "../../support/http/server_process.ts";
import { POSTGRES_15_BIN, startTestServer } from "../../support/postgres/test_server.ts";
import { until } from "../../support/until.ts";

const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);

Deno.test({
  name: "a read that allows it is answered by a standby, in the catalog and in a shard",
  ignore: !hasPostgres15 && !Deno.env.get("CI"),
}, async (t) => {
  const settings = { wal_level: "replica", max_wal_senders: "4", hot_standby: "on" };
  await using primary = await startTestServer({ binDir: POSTGRES_15_BIN, settings });
  await using fixture = await createFixture({ server: primary.url });
  await using standby = await startTestServer({
    binDir: POSTGRES_15_BIN,
    settings,
    standbyOf: primary.url,
  });
  const at = new URL(fixture.databaseUrl);
  at.port = new URL(standby.url).port;
  const there = connectDatabase(`${at}?target_session_attrs=any`, { maxConnections: 1 });
  await using _closing = { [Symbol.asyncDispose]: () => there.close() };
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  for (
    const args of [["add", "s1"], [
      "edit",
      "s1",
      "--replica",
      `postgres://${at.host}${at.pathname}`,
    ]]
  ) {
    const { code, stderr } = await runMain(["shard", ...args], env);
    assert.equal(code, 0, stderr);
  }
  await using server = await startServer({
    fixture,
    // Only the host of the standby has to be named: the rest is the primary's.
    env: { DATABASE_REPLICA_URL: `postgres://${at.host}${at.pathname}` },
  });
  const send = (path: string, init: RequestInit = {}) =>
    fetch(`${server.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${server.openToken}`, ...init.headers },
    });
  const { url } = (await findShard(fixture.db, "s1"))!;
  const shard = connectDatabase(shardUrl(url, fixture.databaseUrl), { maxConnections: 1 });
  await using _shard = { [Symbol.asyncDispose]: () => shard.close() };
  for (const place of ["catalog", "s1"]) {
    await t.step(place, async () => {
      const repo = `/ada/in-${place}`;
      const made = await runMain(["repo", "create", repo.slice(1), "--shard", place], env);
      assert.equal(made.code, 0, made.stderr);
      const push = async (text: string) => {
        const content = new TextEncoder().encode(place + text);
        const pack = new Uint8Array(buildMpack({ objects: [object({ content })] }));
        const answer = await send(`${repo}/push/stream`, {
          method: "POST",
          body: pack,
          headers: { "x-mpack-key": mpackKey(pack), "content-type": "application/octet-stream" },
        });
        assert.equal(answer.status, 200, await answer.text());
        return { lsn: answer.headers.get("x-mpackd-lsn")!, objectId: mpackKey(content) };
      };
      const read = async (objectId: string, lsn?: string) => {
        const answer = await send(`${repo}/objects/${objectId}`, {
          headers: lsn === undefined ? {} : { "x-mpackd-min-lsn": lsn },
        });
        await answer.body?.cancel();
        return answer.status;
      };
      const first = await push("first");
      assert.match(first.lsn, /^[0-9A-F]+\/[0-9A-F]+$/);
      const isThere = async (objectId: string) => await read(objectId, "0/0") !== 404;
      await until("the standby has the first push", () => isThere(first.objectId));
      await there.sql`select pg_wal_replay_pause()`;
      const { lsn, objectId } = await push("second");
      // The standby does not have it; who asks for this state gets it from the primary.
      await until("the standby is asked", async () => !await isThere(objectId));
      assert.equal(await read(first.objectId, "0/0"), 200);
      assert.equal(await read(objectId, lsn), 200);
      assert.equal(await read(objectId), 200);
      assert.equal(await read(objectId, "0/1x"), 400);
      await there.sql`select pg_wal_replay_resume()`;
      await until("the standby has the second push", () => isThere(objectId));
    });
  }
  for (const place of ["catalog", "s1"]) {
    await t.step(`the console of ${place} is read on it, but for what was done there`, async () => {
      const browser = new Browser(server.url);
      await browser.post("/ui/login", { token: server.openToken });
      const rows = async (path: string) => {
        const page = await browser.get(path);
        return { ...page, shown: page.text.match(/<main[^]*<\/main>/)![0] };
      };
      const standing = /Read on a standby, which was behind by/;
      const primaryOf = place === "catalog" ? fixture.db : shard;
      const [{ repo_id }] = await fixture.db.sql`
        select repo_id from musehub_repos where slug = ${`in-${place}`}`;
      const add = async (jobId: string) => {
        await primaryOf.sql`insert into musehub_background_jobs
          (job_id, repo_id, job_type, payload, status, created_at)
          values (${jobId}, ${repo_id}, 'noop', '{}', 'pending', now())`;
      };
      await add(`old-${place}`);
      const isShown = async () => (await rows("/ui/jobs")).shown.includes(`old-${place}`);
      await until("the old job is shown", isShown);
      await there.sql`select pg_wal_replay_pause()`;
      await add(`new-${place}`);
      for (const path of ["/ui", "/ui/jobs", "/ui/repos", `/ui/repos/ada/in-${place}`]) {
        // One that did not answer within half a second is asked again in five.
        let page: Awaited<ReturnType<typeof rows>>;
        await until(`${path} is read on the standby`, async () => {
          page = await rows(path);
          return standing.test(page.text);
        }, { found: () => page.shown });
        assert(!page!.shown.includes(`new-${place}`), path);
      }
      // An action goes to the primary, and the next page is as new as it.
      const done = await browser.post("/ui/jobs/act", { action: "cancel", job: `old-${place}` });
      assert.equal(done, `/ui/jobs?action=cancel&done=1&asked=1`);
      const { shown } = await rows(`/ui/jobs?status=cancelled`);
      assert(shown.includes(`old-${place}`));
      assert((await rows("/ui/jobs")).shown.includes(`new-${place}`));
      // Somebody else has done nothing.
      const other = new Browser(server.url);
      await other.post("/ui/login", { token: server.openToken });
      assert(!(await other.get("/ui/jobs?status=cancelled")).text.includes(`old-${place}`));
      await there.sql`select pg_wal_replay_resume()`;
      const isThere = async () => {
        const { text, shown } = await rows("/ui/jobs?status=cancelled");
        return standing.test(text) && shown.includes(`old-${place}`);
      };
      await until("the standby has the action", isThere);
    });
  }
  await t.step("a shard without a standby is read itself", async () => {
    const { code, stderr } = await runMain(["shard", "edit", "s1", "--no-replica"], env);
    assert.equal(code, 0, stderr);
    const answer = await send("/ada/in-s1/refs", { headers: { "x-mpackd-min-lsn": "0/0" } });
    assert.equal(answer.status, 200, await answer.text());
  });
  await t.step("a standby that is gone makes no read fail", async () => {
    await standby.kill();
    const answer = await send("/ada/in-catalog/refs", { headers: { "x-mpackd-min-lsn": "0/0" } });
    assert.equal(answer.status, 200, await answer.text());
    await standby.start();
  });
  await server.assertUnharmed();
});

/** Keeps cookies. */
class Browser {
  readonly #cookies = new Map<string, string>();
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const answer = await this.#send(path);
    const text = await answer.text();
    assert.equal(answer.status, 200, `${path}: ${text}`);
    return { status: answer.status, text };
  }

  /** Where the answer leads. */
  async post(path: string, form: Record<string, string>): Promise<string | null> {
    const answer = await this.#send(path, { method: "POST", body: new URLSearchParams(form) });
    assert.equal(answer.status, 303, await answer.text());
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!;
      this.#cookies.set(name, value);
    }
    return answer.headers.get("location");
  }

  #send(path: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    return fetch(this.#url + path, {
      ...init,
      headers: { cookie, origin: this.#url },
      redirect: "manual",
    });
  }
}
