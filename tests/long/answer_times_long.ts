import assert from "node:assert/strict";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { openTenant } from "../support/attack/publish_load.ts";
import { startServer } from "../support/http/server_process.ts";

const SAMPLES = 400;
/**
 * How far the chance that a known id takes longer than an unknown one may be from a half. By chance
 * alone it is off by 0.02 (one standard deviation of the U statistic for 400 samples of each).
 */
const MOST_OFF = 0.1;
const IDS = 50;
const content = (text: string) => new TextEncoder().encode(text);
const pack = (texts: readonly string[]) =>
  new Uint8Array(buildMpack({ objects: texts.map((text) => object({ content: content(text) })) }));

/**
 * The chance that a sample of `a` is longer than one of `b`: the U statistic of Mann and Whitney, as
 * a share of all pairs.
 */
function chanceLonger(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((ms) => ({ ms, isA: true })), ...b.map((ms) => ({ ms, isA: false }))]
    .sort((x, y) => x.ms - y.ms);
  let rankSum = 0;
  all.forEach(({ isA }, i) => rankSum += isA ? i + 1 : 0);
  return (rankSum - a.length * (a.length + 1) / 2) / (a.length * b.length);
}

Deno.test("the time of an answer does not tell whether another repo has an object", async (t) => {
  await using server = await startServer({ isOpen: false });
  const owner = await openTenant(server, "owner"), prober = await openTenant(server, "prober");
  const known = (i: number) => `of the other repo ${i}`, unknown = (i: number) => `of nobody ${i}`;
  // Each is pushed once by the prober below, so there is one for each sample.
  const all = Array.from({ length: SAMPLES }, (_, i) => known(i));
  assert.equal(await owner.push(pack(all)), 200);
  const idsOf = (make: (i: number) => string, i: number) =>
    Array.from({ length: IDS }, (_, at) => mpackKey(content(make((i + at) % SAMPLES))));
  const probes: Record<string, (make: (i: number) => string, i: number) => Promise<number>> = {
    "GET of an object": (make, i) => prober.send(`/objects/${mpackKey(content(make(i)))}`),
    "filter-objects": (make, i) =>
      prober.send("/filter-objects", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ object_ids: idsOf(make, i) }),
      }),
    "POST objects": (make, i) =>
      prober.send("/objects", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ object_ids: idsOf(make, i) }),
      }),
    "a push": (make, i) => prober.push(pack([make(i)])),
  };
  for (const [name, probe] of Object.entries(probes)) {
    await t.step(name, async () => {
      const times = { known: [] as number[], unknown: [] as number[] };
      const take = async (kind: "known" | "unknown", i: number) => {
        const startedAt = performance.now();
        const status = await probe(kind === "known" ? known : unknown, i);
        times[kind].push(performance.now() - startedAt);
        return status;
      };
      const statuses = new Set<number>();
      // In turns, and in either order, so that nothing else tells them apart.
      for (let i = 0; i < SAMPLES; i++) {
        const kinds = i % 2 === 0 ? ["known", "unknown"] as const : ["unknown", "known"] as const;
        for (const kind of kinds) statuses.add(await take(kind, i));
      }
      assert.equal(statuses.size, 1);
      const chance = chanceLonger(times.known, times.unknown);
      console.log(`${name}: ${chance.toFixed(3)}`);
      assert.ok(Math.abs(chance - 0.5) < MOST_OFF, `the chance is ${chance.toFixed(3)}`);
    });
  }
});
