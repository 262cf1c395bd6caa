/**
 * A server of a shard fails over by hand in the middle of the shard's move.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { MoveStepName } from "../../../src/maintenance/shards/move_options.ts";
import { PromotedPair } from "../../support/postgres/failing_pairs.ts";
import { POSTGRES_15_BIN } from "../../support/postgres/test_server.ts";
import { moveAmongFailure } from "../../support/shards/failing_move.ts";
import { REPLICATING, twoServers } from "../../support/shards/two_servers.ts";

const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);
const STEPS: Record<"source" | "target", readonly MoveStepName[]> = {
  source: ["subscribe", "copy", "fence", "replay", "compare", "detach", "flip"],
  target: ["schema", "subscribe", "copy", "fence", "compare", "detach", "flip"],
};

for (const side of ["source", "target"] as const) {
  Deno.test({
    name: `a failover of a move's ${side} by hand loses nothing, at whatever step`,
    ignore: !hasPostgres15,
    fn: async (t) => {
      const { second: steady } = await twoServers();
      await using pair = await PromotedPair.start(REPLICATING);
      for (const step of STEPS[side]) {
        await t.step(`before "${step}"`, async () => {
          const [first, second] = side === "source" ? [pair, steady] : [steady, pair];
          const fail = () => pair.failOver();
          const { steps } = await moveAmongFailure({ catalog: steady, first, second, step, fail });
          const isEqual = side === "source" && (step === "detach" || step === "flip");
          assert.equal(steps.includes("back"), !isEqual, `${steps}`);
          await pair.rejoin();
        });
      }
    },
  });
}
