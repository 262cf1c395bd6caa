import assert from "node:assert/strict";
import postgres from "postgres";
import { runChaos } from "../../support/process/chaos.ts";
import { startTestServer } from "../../support/postgres/test_server.ts";

Deno.test("workers that are killed again and again lose no job and publish none twice", async () => {
  const { kills, rescues } = await runChaos({
    workers: 3,
    jobs: 150,
    repos: 6,
    killEveryMs: 1_500,
  });
  assert(kills > 0 && rescues > 0, `${kills} kills, ${rescues} rescues`);
});

Deno.test("workers whose backends are terminated and whose server restarts lose no job", async () => {
  await using server = await startTestServer();
  const admin = postgres(server.url, { max: 1, onnotice: () => {} });
  let terminated = 0;
  await runChaos({
    workers: 2,
    jobs: 120,
    repos: 4,
    killEveryMs: 250,
    kill: false,
    databaseUrl: server.url,
    disturb: async (round) => {
      if (round === 6) return await server.restart();
      const rows = await admin`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name like 'mpackd%' order by random() limit 3`.catch(() => []);
      terminated += rows.length;
    },
  });
  await admin.end({ timeout: 1 });
  assert(terminated > 0);
});
