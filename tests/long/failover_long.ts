/**
 * A failover of the database under eight worker processes and a server that takes pushes: done by
 * Patroni and etcd, and by hand. Nothing is lost, nothing is doubled, and pushes are taken and indexed
 * again within 15 s of the failover.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { createRepo } from "../../src/db/repos.ts";
import { migrate } from "../../src/db/schema/migrate.ts";
import { sleep } from "../../src/lib/sleep.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { type Pair, withPatroni, withPromotion } from "../support/postgres/failing_pairs.ts";
import { hasPatroni } from "../support/postgres/patroni.ts";
import { POSTGRES_15_BIN } from "../support/postgres/test_server.ts";
import { runMain } from "../support/process/main.ts";
import { type MpackdProcess, startProcess } from "../support/process/mpackd_process.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { until } from "../support/until.ts";

const WORKERS = 8;
const OBJECTS = 5;
/** Pushes before the failover, and after it. */
const PUSHES = 150;
const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);

/** Pushes packs one after another by three requests, each repeated until it is answered. */
class Producer {
  readonly keys: string[] = [];
  readonly statuses = new Map<number, number>();
  #at = 0;

  constructor(readonly url: string, readonly token: string) {}

  /** Pushes one pack. Returns when its job is queued. */
  async push(): Promise<void> {
    const seed = this.#at++;
    const objects = Array.from(
      { length: OBJECTS },
      (_, index) => object({ content: sampleBytes(200, seed * OBJECTS + index + 1) }),
    );
    const bytes = new Uint8Array(buildMpack({ objects })), key = mpackKey(bytes);
    const presigned = await this.#insist("mpack-presign", {
      mpack_key: key,
      size_bytes: bytes.length,
    });
    if (!presigned.already_indexed) {
      await this.#send(presigned.upload_url, { method: "PUT", body: bytes });
      await this.#insist("unpack-mpack", { mpack_key: key });
    }
    this.keys.push(key);
  }

  async #insist(path: string, value: object) {
    const headers = {
      authorization: `Bearer ${this.token}`,
      "content-type": "application/json",
      prefer: "respond-async",
    };
    const body = JSON.stringify(value);
    return JSON.parse(
      await this.#send(`${this.url}/me/repo/push/${path}`, { method: "POST", headers, body }),
    );
  }

  async #send(url: string, init: RequestInit): Promise<string> {
    let text: string;
    await until(`${url} is answered`, async () => {
      const answer = await fetch(url, init);
      text = await answer.text();
      this.statuses.set(answer.status, (this.statuses.get(answer.status) ?? 0) + 1);
      // A server without a database says that it is away, and nothing else.
      if (!answer.ok) assert.equal(answer.status, 503, text);
      return answer.ok;
    }, { everyMs: 100, found: () => text });
    return text!;
  }
}

async function failUnderLoad(t: Deno.TestContext, pair: Pair): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const db = connectDatabase(pair.url, { maxConnections: 2, statementTimeoutMs: 10_000 });
  await migrate(db);
  await createRepo(db, { owner: "me", slug: "repo" });
  const env = { DATABASE_URL: pair.url, MPACK_STORE: `file://${folder}`, MPACK_CONCURRENCY: "2" };
  const limits = { MPACK_HTTP_REQUESTS_PER_MINUTE: "1000000", MPACK_LEASE_MS: "5000" };
  const started: MpackdProcess[] = [];
  const start = (args: string[]) => {
    const process = startProcess(args, { ...env, ...limits });
    started.push(process);
    return process;
  };
  try {
    for (let i = 0; i < WORKERS; i++) start(["worker"]);
    for (const worker of started) {
      await worker.line(({ message }) => message === "Listening for new jobs");
    }
    const token = await tokenOf(env);
    const server = start(["serve", "--port", "0"]);
    const url = await server.line(({ message }) => /Listening on http/.test(message))
      .then(({ message }) => /http:\/\/[^\s;"]+/.exec(message)![0]);
    const producer = new Producer(url, token);
    const queued = () => producer.keys.length;

    // What follows a step that failed would only hide why.
    const step = async (name: string, run: () => Promise<void>) => {
      if (!await t.step(name, run)) {
        throw new Error(`the step failed; the pair's log:\n${await pair.log()}`);
      }
    };
    await step("the primary is lost under eight workers and a server", async () => {
      while (queued() < PUSHES) await producer.push();
      const failing = pair.fail(), failedAt = performance.now();
      let promotedAt = Infinity, isOver = false, failure: unknown;
      const watching = failing.then(() => promotedAt = performance.now());
      // Pushes go on, and the one that the failover meets is taken after it.
      const pushing = (async () => {
        while (!isOver) {
          await producer.push();
          await sleep(50);
        }
      })().catch((error) => failure = error);
      const reached = async (what: string, isReached: () => boolean | Promise<boolean>) => {
        await until(what, () => {
          if (failure !== undefined) throw failure;
          return isReached();
        });
        return performance.now();
      };
      await watching;
      const atFailover = queued();
      const takenAt = await reached("a push is taken", () => queued() > atFailover);
      const doneAt = await reached("it is indexed", () => isDone(db, producer.keys[atFailover]));
      const wanted = queued() + PUSHES;
      await reached("all pushes are taken", () => queued() >= wanted);
      isOver = true;
      await pushing;
      const seconds = (from: number, to: number) => Math.round((to - from) / 100) / 10;
      console.log(
        `failover ${seconds(failedAt, promotedAt)} s; after it a push was taken in ` +
          `${seconds(promotedAt, takenAt)} s and indexed in ${seconds(promotedAt, doneAt)} s; ` +
          `answers ${JSON.stringify(Object.fromEntries(producer.statuses))}`,
      );
      assert.ok(doneAt - promotedAt < 15_000);
    });

    await step("nothing is lost or doubled, and no process has ended", async () => {
      for (const key of producer.keys) await until(`${key} is indexed`, () => isDone(db, key));
      const [sums] = await db.query<Record<string, number>>("count")`
        select (select count(*) from musehub_mpacks) as mpacks,
          (select count(*) from musehub_object_refs) as refs,
          (select count(*) from musehub_objects) as objects,
          (select sum((result->>'objects_written')::int) from musehub_background_jobs) as written,
          (select sum((result->>'object_refs_written')::int)
            from musehub_background_jobs) as refs_written,
          (select count(*) from musehub_background_jobs where status <> 'done') as open`;
      const objects = producer.keys.length * OBJECTS;
      assert.deepEqual(sums, {
        mpacks: producer.keys.length,
        refs: objects,
        objects,
        written: objects,
        refs_written: objects,
        open: 0,
      });
      for (const { ended, lines } of started) {
        const state = await Promise.race([ended.then(() => "ended"), sleep(0).then(() => "runs")]);
        assert.equal(state, "runs", JSON.stringify(lines.slice(-5)));
      }
    });

    await step("the lost server comes back as a standby, and work goes on", async () => {
      const before = queued();
      await pair.rejoin();
      while (queued() < before + 20) await producer.push();
      for (const key of producer.keys.slice(before)) {
        await until(`${key} is indexed`, () => isDone(db, key));
      }
    });

    await step("all processes end well", async () => {
      for (const process of started) process.kill("SIGTERM");
      for (const { ended, lines } of started) {
        const { code } = await ended;
        assert.equal(code, 0, JSON.stringify(lines.slice(-5)));
        assert.ok(!lines.some(({ message }) => /uncaught|unhandled|defect/i.test(message)));
      }
    });
  } finally {
    for (const process of started) process.kill("SIGKILL");
    await Promise.all(started.map(({ ended }) => ended));
    await db.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function isDone(db: Database, key: string): Promise<boolean> {
  try {
    const rows = await db.query<object>("look for a job")`
      select from musehub_background_jobs
      where payload->>'mpack_key' = ${key} and status = 'done'`;
    return rows.length > 0;
  } catch {
    return false;
  }
}

/** Makes an identity with a token. */
async function tokenOf(env: Record<string, string>): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  try {
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await runMain(args, env);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    await run("identity", "create", "me", "--key", `${folder}/me.pem`);
    return /mpk_\S+/.exec(await run("token", "create", "me"))![0];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "a failover by Patroni and etcd loses and doubles nothing",
  ignore: !hasPatroni,
  fn: (t) => withPatroni((pair) => failUnderLoad(t, pair)),
});

Deno.test({
  name: "a failover by hand loses and doubles nothing under a running server",
  ignore: !hasPostgres15,
  fn: (t) => withPromotion((pair) => failUnderLoad(t, pair)),
});
