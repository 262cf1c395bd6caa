/**
 * The simulator's fixed seeds; `deno task simulate` goes on for longer.
 *
 * @module
 */

import assert from "node:assert/strict";
import { runEpisode } from "../simulator/episode.ts";
import { lineOf, SERVER_SETTINGS } from "../simulator/main.ts";
import { s3Engine } from "../support/store/swift.ts";
import { startTestServer } from "../support/postgres/test_server.ts";

const SEEDS = [1, 2, 3, 4, 5, 6];

Deno.test("small worlds full of faults lose nothing and show nothing unproved", async (t) => {
  await using server = await startTestServer({ settings: SERVER_SETTINGS });
  const run = (
    name: string,
    seed: number,
    more: { store: "double" | "swift"; processes: boolean },
  ) =>
    t.step(`seed ${seed}, ${name}`, async () => {
      const report = await runEpisode({ seed, server, ...more });
      console.log(lineOf(report));
      assert.deepEqual(report.problems, [], report.events.join("\n"));
    });
  for (const seed of SEEDS) {
    await run("workers in this process", seed, { store: "double", processes: false });
  }
  const store = s3Engine === undefined ? "double" : "swift";
  await run(`worker processes, ${store}`, 100, { store, processes: true });
});
