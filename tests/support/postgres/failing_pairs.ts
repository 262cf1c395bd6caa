/**
 * Pairs of PostgreSQL servers whose primary can be lost: under Patroni, and promoted by hand.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import { PATRONI_PASSWORD, startPatroni } from "./patroni.ts";
import { until } from "../until.ts";
import { POSTGRES_15_BIN, startTestServer } from "./test_server.ts";

/** A pair of servers whose primary can be lost. */
export interface Pair {
  /** Names both hosts. */
  readonly url: string;
  /** Kills the primary; resolves when another server is the primary. */
  fail(): Promise<void>;
  /** Brings the lost server back as a standby. */
  rejoin(): Promise<void>;
  /** The end of what its programs logged. */
  log(): Promise<string>;
}

/** Two servers under Patroni and etcd. */
export async function withPatroni(use: (pair: Pair) => Promise<void>): Promise<void> {
  await using cluster = await startPatroni();
  const { primary, standby } = await cluster.settled();
  await use({
    url: cluster.url,
    async fail() {
      await primary.kill();
      // Patroni says so from memory while the server does not answer it.
      const isPrimary = async () =>
        await standby.role() === "primary" && !await isInRecovery(standby.host);
      await until("the standby is the primary", isPrimary, { everyMs: 100, found: cluster.log });
    },
    async rejoin() {
      primary.start();
      const now = await cluster.settled();
      assert.deepEqual([now.primary.name, now.standby.name], [standby.name, primary.name]);
    },
    log: () => cluster.log(),
  });
}

async function isInRecovery(host: string): Promise<boolean> {
  const url = `postgres://postgres:${PATRONI_PASSWORD}@${host}/postgres?target_session_attrs=any`;
  const db = connectDatabase(url, { maxConnections: 1 });
  try {
    const [row] = await db.query<{ is: boolean }>("ask a server")`select pg_is_in_recovery() as is`;
    return row.is;
  } catch {
    return true;
  } finally {
    await db.close();
  }
}

/** A primary and a synchronous standby that is promoted by hand. */
export async function withPromotion(use: (pair: Pair) => Promise<void>): Promise<void> {
  const binDir = POSTGRES_15_BIN;
  const settings = { full_page_writes: "on", synchronous_commit: "on", max_connections: "200" };
  await using primary = await startTestServer({ binDir, settings });
  await using standby = await startTestServer({ binDir, settings, standbyOf: primary.url });
  const run = async (url: string, ...statements: string[]) => {
    const admin = connectDatabase(`${url}?target_session_attrs=any`, { maxConnections: 1 });
    for (const statement of statements) await admin.sql.unsafe(statement);
    await admin.close();
  };
  const reload = "select pg_reload_conf()";
  await run(primary.url, "alter system set synchronous_standby_names = '*'", reload);
  const { host } = new URL(primary.url);
  let rejoined: AsyncDisposable | undefined;
  try {
    await use({
      url: standby.url.replace(new URL(standby.url).host, `${new URL(standby.url).host},${host}`),
      async fail() {
        await primary.kill();
        await sleep(2_000);
        await run(
          standby.url,
          "select pg_promote()",
          "alter system reset synchronous_standby_names",
          reload,
        );
      },
      async rejoin() {
        rejoined = await startTestServer({ binDir, settings, standbyOf: standby.url });
      },
      log: async () => (await Deno.readTextFile(standby.logFile)).slice(-4_000),
    });
  } finally {
    await rejoined?.[Symbol.asyncDispose]();
  }
}
