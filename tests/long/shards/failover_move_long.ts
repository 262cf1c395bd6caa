/**
 * A server of a shard fails over in the middle of the shard's move, at each step: by hand, and by
 * Patroni and etcd.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  hasPatroni,
  PATRONI_PASSWORD,
  type PatroniCluster,
  startPatroni,
} from "../../support/postgres/patroni.ts";
import { PromotedPair, untilPrimary } from "../../support/postgres/failing_pairs.ts";
import { POSTGRES_15_BIN } from "../../support/postgres/test_server.ts";
import { moveAmongFailure } from "../../support/shards/failing_move.ts";
import { type Place, REPLICATING, twoServers } from "../../support/shards/two_servers.ts";

const hasPostgres15 = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);
const STEPS = [
  "schema",
  "publish",
  "subscribe",
  "copy",
  "drain",
  "fence",
  "replay",
  "compare",
  "detach",
  "flip",
] as const;

for (const side of ["source", "target"] as const) {
  Deno.test({
    name: `a failover of a move's ${side} by hand loses nothing, at whatever step`,
    ignore: !hasPostgres15,
    fn: async (t) => {
      const { second: steady } = await twoServers();
      await using pair = await PromotedPair.start(REPLICATING);
      for (const step of STEPS) {
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
  Deno.test({
    name: `a failover of a move's ${side} by Patroni and etcd loses nothing`,
    ignore: !hasPatroni,
    fn: async (t) => {
      const { second: steady } = await twoServers();
      await using cluster = await startPatroni();
      for (const step of ["copy", "replay", "detach"] as const) {
        await t.step(`before "${step}"`, async () => {
          const { primary, standby } = await cluster.settled();
          const place = placeOf(cluster, primary.host);
          const [first, second] = side === "source" ? [place, steady] : [steady, place];
          const fail = async () => {
            await primary.kill();
            await untilPrimary(standby, cluster);
          };
          const { steps } = await moveAmongFailure({ catalog: steady, first, second, step, fail });
          assert.equal(steps.includes("back"), side === "target" || step !== "detach", `${steps}`);
          primary.start();
        });
      }
    },
  });
}

function placeOf({ nodes }: PatroniCluster, primary: string): Place {
  // The primary first: a statement without retries is not tried at the other one.
  const hosts = [primary, ...nodes.map(({ host }) => host).filter((host) => host !== primary)];
  return {
    current: { url: `postgres://postgres:${PATRONI_PASSWORD}@${primary}/postgres` },
    reach: (url) => url.replace(new URL(url).host, hosts.join(",")),
  };
}
