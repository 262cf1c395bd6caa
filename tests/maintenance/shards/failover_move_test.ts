import assert from "node:assert/strict";
import { PromotedPair } from "../../support/postgres/failing_pairs.ts";
import { POSTGRES_15_BIN } from "../../support/postgres/test_server.ts";
import { moveAmongFailure } from "../../support/shards/failing_move.ts";
import { REPLICATING, twoServers } from "../../support/shards/two_servers.ts";

const ignore = !await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);

Deno.test({
  name: "moveShard() copies again when its source has failed over, unless both sides were equal",
  ignore,
  fn: async (t) => {
    const { second } = await twoServers();
    await using pair = await PromotedPair.start(REPLICATING);
    for (const step of ["copy", "fence", "detach"] as const) {
      await t.step(`before "${step}"`, async () => {
        const { steps } = await moveAmongFailure({
          catalog: second,
          first: pair,
          second,
          step,
          fail: () => pair.failOver(),
        });
        assert.equal(steps.includes("back"), step !== "detach", `${steps}`);
        await pair.rejoin();
      });
    }
  },
});

Deno.test({
  name: "moveShard() copies again when its target has failed over before the shard is turned over",
  ignore,
  fn: async (t) => {
    const { first } = await twoServers();
    await using pair = await PromotedPair.start(REPLICATING);
    for (const step of ["copy", "compare", "flip"] as const) {
      await t.step(`before "${step}"`, async () => {
        const { steps } = await moveAmongFailure({
          catalog: first,
          first,
          second: pair,
          step,
          fail: () => pair.failOver(),
        });
        assert(steps.includes("back"), `${steps}`);
        await pair.rejoin();
      });
    }
  },
});
