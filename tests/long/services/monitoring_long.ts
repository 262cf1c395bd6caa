/**
 * The alarms and the dashboard of examples/monitoring: promtool checks and tests the rules, and a real
 * Prometheus scrapes a real worker whose troubles are brought about, seen firing, and mended.
 *
 * @module
 */

import assert from "node:assert/strict";
import { freePort } from "../../support/process/free_port.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { createFixture } from "../../support/process/fixture.ts";

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
    rules.replaceAll(/for: \d+m/g, "for: 0s").replaceAll(/\[(15m|5m)\]/g, "[20s]")
      .replaceAll("> 600", "> 3").replaceAll("> 5\n", "> 0\n"),
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

Deno.test({
  name: "a real Prometheus fires an alarm while there is trouble, and not after",
  ignore: !hasPrometheus,
  fn: async () => {
    await using fixture = await createFixture();
    const { db, repo } = fixture, port = freePort();
    const start = () =>
      startWorkerProcess({
        databaseUrl: fixture.databaseUrl,
        folder: fixture.folder,
        args: ["--http-port", String(port)],
      });
    await using prometheus = await startPrometheus(`127.0.0.1:${port}`);
    await prometheus.until("MpackdDown", true);
    await using worker = start();
    await prometheus.until("MpackdDown", false);

    // Jobs with a wrong payload fail at once, for good. Prometheus sees no increase in the first
    // sample of a counter, so there is more than one.
    let bad = 0;
    const failing = setInterval(() => {
      db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
        created_at) values (${`bad${bad++}`}, ${repo.repoId}, 'mpack.index', '{"mpack_key":"x"}',
        'pending', now())`.catch(() => {});
    }, 1_000);
    await prometheus.until("MpackdAttemptsFail", true).finally(() => clearInterval(failing));
    await prometheus.until("MpackdAttemptsFail", false);

    // The queue is paused, and a job waits.
    await db.sql`insert into mpackd_pauses (kind, value) values ('all', '')`;
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
      created_at) values ('waits', ${repo.repoId}, 'mpack.index', '{"mpack_key":"x"}', 'pending',
      now())`;
    await prometheus.until("MpackdQueueWaits", true);
    await db.sql`delete from mpackd_pauses`;
    await prometheus.until("MpackdQueueWaits", false);

    // Another program says that a job runs.
    await db.sql`insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status,
      created_at) values ('foreign', ${repo.repoId}, 'mpack.index', '{}', 'running', now())`;
    await prometheus.until("MpackdJobsWithoutLease", true);
    await db.sql`delete from musehub_background_jobs where job_id = 'foreign'`;
    await prometheus.until("MpackdJobsWithoutLease", false);

    worker.kill("SIGKILL");
    await worker.status;
    await prometheus.until("MpackdDown", true);
  },
});
