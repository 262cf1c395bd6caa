/**
 * The profiles of the simulator at the size of the promise, or an eighth of it: `deno task
 * simulate` goes on for longer.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type ProfileName, PROFILES, startSimulatorServer } from "../simulator/profiles.ts";
import { lineOf } from "../simulator/report.ts";
import { s3Engine } from "../support/store/swift.ts";

/** 1 runs the sizes of the promises: 4 GiB, 10,000 jobs. CI runs an eighth. */
const SHARE = Number(Deno.env.get("MPACKD_TEST_SHARE") ?? 1 / 8);

Deno.test("mpackd among faults loses nothing, doubles nothing and shows nothing unproved", async (t) => {
  await using server = await startSimulatorServer();
  const run = (profile: ProfileName, seed: number, options: object = {}) =>
    t.step({
      name: `${profile}, seed ${seed}`,
      ignore: ["phases", "resume", "materialize", "soak"].includes(profile) &&
        Deno.build.os !== "linux",
      fn: async () => {
        const report = await PROFILES[profile]
          .run({ seed, share: SHARE, steps: 40, store: "double", server, ...options });
        console.log(lineOf(profile, report));
        assert.deepEqual(report.problems, [], report.events.join("\n"));
      },
    });
  for (const seed of [1, 2, 3, 4, 5, 6]) await run("faults", seed);
  await run("processes", 100, { store: s3Engine === undefined ? "double" : "swift" });
  await run("kills", 1, { share: Math.max(SHARE, 1 / 2) });
  await run("database", 1, { share: 1 });
  await run("phases", 1, { share: 1 });
  await run("resume", 1);
  await run("materialize", 1);
  await run("gc", 1);
  await run("history", 1);
  await run("quotas", 1, { share: 1 });
  await run("webhooks", 1, { share: 1 });
  await run("shards", 1, { share: 1 / 4 });
  await run("soak", 1);
});
