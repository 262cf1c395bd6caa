/**
 * Pairs of PostgreSQL servers whose primary can be lost: under Patroni, and promoted by hand.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import {
  PATRONI_PASSWORD,
  type PatroniCluster,
  type PatroniNode,
  startPatroni,
} from "./patroni.ts";
import { until } from "../until.ts";
import type { ServerSettings } from "../../../src/db/embedded/server.ts";
import { POSTGRES_15_BIN, startTestServer, type TestServer } from "./test_server.ts";

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
      await untilPrimary(standby, cluster);
    },
    async rejoin() {
      primary.start();
      const now = await cluster.settled();
      assert.deepEqual([now.primary.name, now.standby.name], [standby.name, primary.name]);
    },
    log: () => cluster.log(),
  });
}

/** Waits until a standby was promoted. */
async function untilPrimary(node: PatroniNode, { log }: PatroniCluster): Promise<void> {
  // Patroni says so from memory while the server does not answer it.
  const isPrimary = async () => await node.role() === "primary" && !await isInRecovery(node.host);
  await until("the standby is the primary", isPrimary, { everyMs: 100, found: log });
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
  await using pair = await PromotedPair.start();
  await use({
    url: pair.url,
    async fail() {
      await pair.current.kill();
      await sleep(2_000);
      await pair.promote();
    },
    rejoin: () => pair.rejoin(),
    log: async () => (await Deno.readTextFile(pair.current.logFile)).slice(-4_000),
  });
}

/** A primary and a synchronous standby, which can fail over again and again. */
export class PromotedPair implements AsyncDisposable {
  readonly #settings: ServerSettings;
  readonly #ports: readonly number[];
  readonly #servers: (TestServer | undefined)[];
  #at = 0;

  private constructor(settings: ServerSettings, servers: readonly TestServer[]) {
    this.#settings = settings;
    this.#servers = [...servers];
    this.#ports = servers.map(({ url }) => Number(new URL(url).port));
  }

  /** Starts both, with PostgreSQL 15. */
  static async start(more: ServerSettings = {}): Promise<PromotedPair> {
    const settings = {
      full_page_writes: "on",
      synchronous_commit: "on",
      max_connections: "200",
      ...more,
    };
    const primary = await startTestServer({ binDir: POSTGRES_15_BIN, settings });
    const standby = await startTestServer({
      binDir: POSTGRES_15_BIN,
      settings,
      standbyOf: primary.url,
    });
    const pair = new PromotedPair(settings, [primary, standby]);
    await pair.#wait();
    return pair;
  }

  /** The primary, or the one that was. */
  get current(): TestServer {
    return this.#servers[this.#at]!;
  }

  /** Names both hosts, the standby first. */
  get url(): string {
    return this.#over(this.current.url, [1 - this.#at, this.#at]);
  }

  /** The same database over both hosts, the primary first. */
  reach(url: string): string {
    return this.#over(url, [this.#at, 1 - this.#at]);
  }

  #over(url: string, order: readonly number[]): string {
    const hosts = order.map((at) => `127.0.0.1:${this.#ports[at]}`);
    return url.replace(new URL(url).host, hosts.join(","));
  }

  /** Kills the primary, and promotes the standby, which has all that anybody has seen before. */
  async failOver(): Promise<void> {
    const [{ lsn }] = await this.#run<{ lsn: string }>("select pg_current_wal_flush_lsn() as lsn");
    await this.#wait(lsn);
    await this.current.kill();
    await this.promote();
  }

  /** Promotes the standby of a primary that was killed. */
  async promote(): Promise<void> {
    this.#at = 1 - this.#at;
    await this.#run("select pg_promote()");
    await this.#standbys("");
  }

  /** Makes the lost server a standby of the new primary. */
  async rejoin(): Promise<void> {
    const at = 1 - this.#at;
    await this.#servers[at]?.[Symbol.asyncDispose]();
    this.#servers[at] = undefined;
    this.#servers[at] = await startTestServer({
      binDir: POSTGRES_15_BIN,
      settings: this.#settings,
      standbyOf: this.current.url,
      port: this.#ports[at],
    });
    await this.#wait();
  }

  /** Waits until the standby has all up to there, and commits wait for it. */
  async #wait(lsn = "0/0"): Promise<void> {
    const isThere = async () => {
      const [{ is }] = await this.#run<{ is: boolean }>(`select exists (
        select from pg_stat_replication where state = 'streaming' and flush_lsn >= '${lsn}'
          and application_name = 'walreceiver') as is`);
      return is;
    };
    await until("the standby follows", isThere, { everyMs: 20 });
    await this.#standbys("walreceiver");
  }

  /** Not `*`: that would be the subscriptions of others, too. */
  async #standbys(names: string): Promise<void> {
    await this.#run(`alter system set synchronous_standby_names = '${names}'`);
    await this.#run("select pg_reload_conf()");
  }

  async #run<Row>(statement: string): Promise<Row[]> {
    const url = `${this.current.url}?target_session_attrs=any`;
    const admin = connectDatabase(url, { maxConnections: 1 });
    try {
      return [...await admin.sql.unsafe(statement)] as unknown as Row[];
    } finally {
      await admin.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The standby first: a primary that stops waits for none.
    for (const at of [1 - this.#at, this.#at]) await this.#servers[at]?.[Symbol.asyncDispose]();
  }
}
