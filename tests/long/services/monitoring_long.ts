/**
 * The alarms and the dashboard of examples/monitoring: promtool checks and tests the rules, and a real
 * Prometheus scrapes a real worker whose troubles are brought about, seen firing, and mended.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { recountUsage, removeQuota, setQuota } from "../../../src/db/quotas/quotas.ts";
import { testWebhook } from "../../../src/db/webhooks/deliveries.ts";
import { addWebhook, removeWebhook } from "../../../src/db/webhooks/webhooks.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { pause, resume } from "../../../src/jobs/schedules/pauses.ts";
import { adoptStore } from "../../../src/maintenance/store_owner.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { freePort } from "../../support/process/free_port.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { createTestDatabase } from "../../support/postgres/postgres.ts";
import { addShard } from "../../support/shards/catalog_with.ts";
import { sampleBytes } from "../../support/store/blobs.ts";

const FOLDER = new URL("../../../examples/monitoring/", import.meta.url).pathname;
const hasPrometheus = await Promise.all(
  ["/usr/bin/promtool", "/usr/bin/prometheus"].map((path) => Deno.stat(path)),
).then(() => true, () => false);
if (!hasPrometheus) console.log("The alarms are not tested: Prometheus is not installed");

async function promtool(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await new Deno.Command("promtool", { args, cwd: FOLDER })
    .output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(code, 0, text);
}

Deno.test({
  name: "promtool finds the rules valid, and each alarm fires and ends as its test says",
  ignore: !hasPrometheus,
  fn: async () => {
    await promtool("check", "rules", "mpackd.rules.yml");
    await promtool("check", "config", "prometheus.yml");
    await promtool("test", "rules", "mpackd.rules.test.yml");
    const rules = await Deno.readTextFile(`${FOLDER}mpackd.rules.yml`);
    const tested = await Deno.readTextFile(`${FOLDER}mpackd.rules.test.yml`);
    const runbook = await Deno.readTextFile(
      new URL("../../../docs/operations.md", import.meta.url),
    );
    for (const [, name] of rules.matchAll(/- alert: (\w+)/g)) {
      assert.ok(
        tested.includes(`alertname: ${name}\n        exp_alerts:\n`),
        `${name} is not tested`,
      );
      assert.ok(runbook.includes(`### ${name}\n`), `${name} has no place in the runbook`);
    }
  },
});

Deno.test("the dashboard shows every metric that exists, and no other", async () => {
  const text = await Deno.readTextFile(`${FOLDER}dashboard.json`);
  JSON.parse(text);
  const shown = new Set(
    [...text.matchAll(/mpackd_\w+/g)].map(([name]) => name.replace(/_bucket$/, "")),
  );
  await using fixture = await createFixture();
  const port = freePort();
  await using worker = startWorkerProcess({
    databaseUrl: fixture.databaseUrl,
    folder: fixture.folder,
    command: "serve",
    args: ["--port", "0", "--worker"],
    env: { MPACK_HTTP_PORT: String(port) },
  });
  await worker.line(({ message }) => message.startsWith("Listening on"));
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const known = [...metrics.matchAll(/^# TYPE (mpackd_\w+) /gm)].map(([, name]) => name);
  assert.deepEqual([...shown].sort(), known.sort());
});

/** A Prometheus with the example's rules, which wait for nothing and look each second. */
async function startPrometheus(target: string) {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const rules = await Deno.readTextFile(`${FOLDER}mpackd.rules.yml`);
  await Deno.writeTextFile(
    `${folder}/mpackd.rules.yml`,
    rules.replaceAll(/for: \d+[mh]/g, "for: 0s").replaceAll(/\[\d+[mh]\]/g, "[10s]")
      .replaceAll("> 600", "> 3").replaceAll(/> (3|5|10)\n/g, "> 0\n").replaceAll("+ 5\n", "\n"),
  );
  await Deno.writeTextFile(
    `${folder}/prometheus.yml`,
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [mpackd.rules.yml]
scrape_configs: [{ job_name: mpackd, static_configs: [{ targets: ["${target}"] }] }]
`,
  );
  const port = freePort();
  const child = new Deno.Command("prometheus", {
    args: [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=error",
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    /** Waits until an alarm fires, or is quiet. */
    async until(name: string, isFiring: boolean): Promise<void> {
      for (let i = 0; i < 240; i++) {
        const answer = await fetch(`http://127.0.0.1:${port}/api/v1/alerts`).catch(() => undefined);
        const { data } = answer?.ok ? await answer.json() : { data: { alerts: undefined } };
        const fires = data.alerts?.some(({ labels, state }: {
          labels: { alertname: string };
          state: string;
        }) => labels.alertname === name && state === "firing");
        if (fires === isFiring) return;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      assert.fail(`${name} is ${isFiring ? "not firing" : "still firing"}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Lets a database take connections, or none: then those that are there end. */
async function letIn(url: string, isOpen: boolean): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  const db = connectDatabase(new URL("/postgres", url).href, { maxConnections: 1 });
  await db.sql.unsafe(`alter database ${name} allow_connections ${isOpen}`);
  if (!isOpen) {
    await db.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`;
  }
  await db.close();
}

Deno.test({
  name: "a real Prometheus fires each alarm while there is its trouble, and not after",
  ignore: !hasPrometheus,
  fn: async () => {
    await using fixture = await createFixture();
    const { db, repo: { repoId } } = fixture, port = freePort();
    const apiPort = freePort(), url = `http://127.0.0.1:${apiPort}`;
    const rules = await Deno.readTextFile(`${FOLDER}mpackd.rules.yml`), seen = new Set<string>();
    await using other = await createTestDatabase("shard");
    await using prometheus = await startPrometheus(`127.0.0.1:${port}`);
    const fire = (...names: string[]) =>
      Promise.all(names.map(async (name) => {
        await prometheus.until(name, true);
        seen.add(name);
      }));
    const quiet = (...names: string[]) =>
      Promise.all(names.map((name) => prometheus.until(name, false)));
    await fire("MpackdDown");
    await using server = startWorkerProcess({
      databaseUrl: fixture.databaseUrl,
      folder: fixture.folder,
      command: "serve",
      args: ["--port", String(apiPort), "--worker"],
      env: {
        MPACK_HTTP_PORT: String(port),
        MPACK_POLL_MS: "500",
        MPACK_WEBHOOK_ALLOW: "127.0.0.1",
      },
    });
    await db.sql`update musehub_repos set visibility = 'public'`;
    const shard = await addShard({ db, url: fixture.databaseUrl }, "s2", other.url);
    await adoptStore({ db: shard, store: fixture.store });
    await shard.close();
    await quiet("MpackdDown");
    let jobs = 0;
    const addJob = (status: string, lease: string | null = null) =>
      db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
          created_at, lease_expires_at, locked_by)
        values (${`bad${jobs++}`}, ${repoId}, 'mpack.index', '{"mpack_key":"x"}', ${status}, now(),
          now() + ${lease}::interval, 'gone')`;

    // Troubles that are counted. Prometheus sees no increase in the first sample of a counter, so
    // there are several of each: jobs with a wrong payload, jobs of a worker that has gone silent, a
    // webhook to a port that nobody listens at, and blobs that were written again.
    const { webhookId } = await addWebhook(db, {
      ...{ repoId, url: `http://127.0.0.1:${freePort()}/`, host: "127.0.0.1" },
      events: ["pack.published"],
    });
    const objectIds: string[] = [];
    for (let seed = 1; seed <= 30; seed++) {
      const one = object({ content: sampleBytes(100, seed) });
      await indexMpack(fixture.options(await fixture.put(buildMpack({ objects: [one] }))));
      objectIds.push(mpackKey(sampleBytes(100, seed)));
    }
    for await (const { key } of fixture.store.list("mpacks/")) {
      await Deno.utime(`${fixture.folder}/${key}`, new Date(1e12), new Date(1e12));
    }
    const making = setInterval(() => {
      Promise.all([
        addJob("pending"),
        addJob("running", "-1 second"),
        testWebhook(db, repoId, webhookId),
        fetch(`${url}/me/repo/objects/${objectIds.pop()}`).then((answer) => answer.bytes()),
      ]).catch(() => {});
    }, 500);
    const counted = [
      "MpackdAttemptsFail",
      "MpackdWorkersDie",
      "MpackdWebhooksFail",
      "MpackdStoreMoved",
    ];
    await fire(...counted).finally(() => clearInterval(making));
    await removeWebhook(db, repoId, webhookId);

    // Troubles that are there: the queue is paused and a job waits, another program says that a job
    // runs, an owner has used up a quota, and a shard takes no connections.
    await letIn(other.url, false);
    await pause(db, { kind: "all" });
    await db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
      created_at) values ('foreign', ${repoId}, 'mpack.index', '{}', 'running', now())`;
    const owner = { kind: "owner", name: "me" } as const;
    await setQuota(db, owner, { packs: 1 });
    await recountUsage(db, owner);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await addJob("pending");
    const lasting = [
      "MpackdQueueWaits",
      "MpackdJobsWithoutLease",
      "MpackdTenantsFull",
      "MpackdShardDown",
    ];
    await fire(...lasting);
    await letIn(other.url, true);
    await resume(db, { kind: "all" });
    await db.sql`delete from musehub_background_jobs where job_id = 'foreign'`;
    await removeQuota(db, owner);
    await quiet(...counted, ...lasting);

    // The database takes no connections any more.
    await letIn(fixture.databaseUrl, false);
    const asking = setInterval(() => {
      fetch(`${url}/me/repo`).then((answer) => answer.bytes()).catch(() => {});
    }, 500);
    const away = ["MpackdQueueErrors", "MpackdNotListening", "MpackdHttpErrors"];
    await fire(...away).finally(() => clearInterval(asking));
    await letIn(fixture.databaseUrl, true);
    await quiet(...away);

    server.kill("SIGKILL");
    await server.status;
    await fire("MpackdDown");
    const all = [...rules.matchAll(/- alert: (\w+)/g)].map(([, alarm]) => alarm);
    assert.deepEqual([...seen].sort(), all.sort());
  },
});
