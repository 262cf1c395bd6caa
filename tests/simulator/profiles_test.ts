import assert from "node:assert/strict";
import { type ProfileName, PROFILES, startSimulatorServer } from "./profiles.ts";
import { lineOf } from "./report.ts";

/** Runs a profile once, small, and expects that it finds nothing wrong. */
async function check(profile: ProfileName, share: number): Promise<Record<string, number>> {
  await using server = await startSimulatorServer();
  const seed = Date.now() % 2 ** 32;
  const report = await PROFILES[profile].run({ seed, share, steps: 15, store: "double", server });
  const where = [lineOf(profile, report), ...report.events].join("\n");
  assert.deepEqual(report.problems, [], where);
  return { ...report.facts, ...report.faults };
}

Deno.test("any fault of worker, statement, store or server loses nothing and shows nothing early", async () => {
  await check("faults", 1);
});

Deno.test("workers that are killed again and again lose no job and publish none twice", async () => {
  const facts = await check("kills", 0.08);
  assert.ok(facts["worker killed"] > 0 && facts.rescues > 0, JSON.stringify(facts));
});

Deno.test("workers whose sessions are terminated and whose server restarts lose no job", async () => {
  const facts = await check("database", 0.08);
  assert.ok(facts["server backend terminated"] > 0, JSON.stringify(facts));
  assert.ok(facts["server restarted"] > 0, JSON.stringify(facts));
});

Deno.test({
  name: "index --materialize killed at random moments writes every blob in the end",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await check("materialize", 0);
  },
});

Deno.test("gc killed at random moments, beside uploads and jobs, loses nothing", async () => {
  await check("gc", 0);
});

Deno.test("audit killed at random moments ends with the findings of one that was not", async () => {
  await check("audit", 0);
});

Deno.test("tenants with quotas, among faults, are counted as they are, and none has too much", async () => {
  await check("quotas", 0);
});
