/**
 * Shards on two servers, among faults: tenants push and read over HTTP while shards and repos are
 * moved, movers die, servers restart or fail over to their standbys, and processes of mpackd are
 * killed. What was acknowledged stays readable at every moment, nobody else sees it, and in the end each
 * repo is whole in one place.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectDatabase } from "../../src/db/client/connect.ts";
import { findOpenMove } from "../../src/db/shards/move_rows.ts";
import { ConfigError, MpackdError } from "../../src/errors.ts";
import { abortMove } from "../../src/maintenance/shards/move_back.ts";
import type { MoveToOptions } from "../../src/maintenance/shards/move_options.ts";
import { moveRepo } from "../../src/maintenance/shards/move_repo.ts";
import { moveShard } from "../../src/maintenance/shards/move_shard.ts";
import { removeOld } from "../../src/maintenance/shards/remove_shard.ts";
import type { Random } from "../fuzz/random.ts";
import { PromotedPair } from "../support/postgres/failing_pairs.ts";
import { POSTGRES_15_BIN, type TestServer } from "../support/postgres/test_server.ts";
import { KilledError, mortal } from "../support/shards/mortal.ts";
import { openWorld, tokenOf, type World } from "../support/shards/world.ts";
import { Tenant } from "./shards/tenant.ts";
import { ServerProcesses } from "./shards/server_processes.ts";
import { findProblems } from "./shards/whole.ts";
import type { ProfileOptions } from "./report.ts";
import type { Tally } from "./tally.ts";
import { insist, pause } from "./waits.ts";

const OWNERS = ["ann", "bob", "cho"];
const REPOS_PER_OWNER = 2;
/** How long a request may read where a shard was. */
const STALE_MS = 5_000;
/** A faulted move is tried again for so long in the end. */
const END_MS = 5 * 60_000;

/** Drives one run: at share 1, two servers of eight shards each, for two minutes. */
export async function shards(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, tally, share } = options;
  // Only Debian's can be copied.
  const isPaired = await Deno.stat(POSTGRES_15_BIN).then(() => true, () => false);
  const world = await openWorld(Math.max(2, Math.round(8 * share)), { isPaired });
  await using _world = world;
  await using processes = await ServerProcesses.start(world, tally);
  const tenants = await Promise.all(OWNERS.map(async (owner) =>
    await Tenant.open({
      owner,
      token: await tokenOf(world.catalog, owner),
      repos: REPOS_PER_OWNER,
      processes,
      catalog: world.catalog,
      folder: world.folder,
    })
  ));
  const stop = new AbortController(), problems: string[] = [];
  const clients = tenants.map((tenant) =>
    tenant.run(tenants, stop.signal).catch((error) => {
      problems.push(`tenant ${tenant.owner}: ${error.stack}`);
    })
  );
  const movers = new Movers(world, tenants, tally, random);
  const endsAt = performance.now() + 120_000 * share;
  const wrong = () => [...problems, ...movers.problems, ...tenants.flatMap((one) => one.problems)];
  while (performance.now() < endsAt && wrong().length === 0) {
    const lot = random.below(12);
    if (lot < 5) movers.moveShard();
    else if (lot < 8) movers.moveRepo();
    else if (lot < 9) await processes.kill(random);
    else if (lot < 11) await strike(random.pick(world.servers), tally, random);
    else await terminate(random.pick(world.servers), tally);
    await pause(300 + random.below(1_500));
  }
  tally.note("no more faults");
  await processes.revive();
  await movers.finish();
  // Each push that was begun is tried until it is acknowledged.
  stop.abort();
  await Promise.all(clients);
  const pushed = tenants.flatMap((tenant) => tenant.pushed);
  if (wrong().length === 0) problems.push(...await findProblems(world, pushed));
  assert.deepEqual(wrong().slice(0, 10), []);
  assert.ok(pushed.length > 0, "nothing was pushed");
  return {
    shards: world.names.length,
    pushes: pushed.length,
    reads: tenants.reduce((sum, { reads }) => sum + reads, 0),
    ...movers.counts,
  };
}

/** Restarts a server; of a pair, it may end, and the other one take its place. */
async function strike(
  server: TestServer | PromotedPair,
  tally: Tally,
  random: Random,
): Promise<void> {
  if (!(server instanceof PromotedPair) || random.once(3)) {
    tally.fault("server restarted");
    return await currentOf(server).restart();
  }
  tally.fault("server failed over");
  await server.failOver();
  await pause(random.below(1_000));
  await server.rejoin();
}

function currentOf(server: TestServer | PromotedPair): TestServer {
  return server instanceof PromotedPair ? server.current : server;
}

async function terminate(server: TestServer | PromotedPair, tally: Tally): Promise<void> {
  const { url } = currentOf(server);
  const admin = connectDatabase(url, { maxConnections: 1, applicationName: "simulator" });
  const rows = await insist(() =>
    admin.query("terminate sessions")`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name like 'mpackd%' and pid <> pg_backend_pid()
      order by random() limit 6`
  );
  for (const _ of rows) tally.fault("session terminated");
  await admin.close();
}

/** Moves shards and repos, some of them by processes that die. */
class Movers {
  readonly counts = { "shards moved": 0, "repos moved": 0, "moves aborted": 0 };
  readonly problems: string[] = [];
  readonly #world: World;
  readonly #tenants: readonly Tenant[];
  readonly #tally: Tally;
  readonly #random: Random;
  /** By what is moved: one mover each. */
  readonly #running = new Map<string, Promise<void>>();
  /** When a shard was turned over. */
  readonly #movedAt = new Map<string, number>();

  constructor(world: World, tenants: readonly Tenant[], tally: Tally, random: Random) {
    this.#world = world;
    this.#tenants = tenants;
    this.#tally = tally;
    this.#random = random;
  }

  /** Begins to move one, or goes on with a move of it, or goes back. */
  moveShard(): void {
    const random = this.#random, name = random.pick(this.#world.names);
    const lastStatement = random.once(2) ? 1 + random.below(200) : Infinity;
    const isAborted = random.once(4), place = random.pick(this.#world.places);
    this.#begin(`shard ${name}`, async () => {
      const open = await insist(() => findOpenMove(this.#world.catalog, name));
      const options = this.#optionsOf(name, open?.newUrl ?? place, lastStatement);
      if (open !== undefined && isAborted) {
        await abortMove(options);
        this.counts["moves aborted"]++;
        return;
      }
      await this.#removeOld(name, options);
      const { moved } = await moveShard(options);
      if (moved) this.counts["shards moved"]++;
      this.#movedAt.set(name, performance.now());
    });
  }

  /** Makes room for a move back. Those who still read there had time to hear of the move. */
  async #removeOld(name: string, options: MoveToOptions): Promise<void> {
    const movedAt = this.#movedAt.get(name);
    if (movedAt === undefined) return;
    await pause(Math.max(0, movedAt + STALE_MS - performance.now()));
    await removeOld(options).catch((error) => {
      // It is gone already.
      if (!(error instanceof ConfigError)) throw error;
    });
    this.#movedAt.delete(name);
  }

  moveRepo(): void {
    const random = this.#random, tenant = random.pick(this.#tenants);
    const repo = random.pick(tenant.repos), to = random.pick([...this.#world.names, "catalog"]);
    const lastStatement = random.once(2) ? 1 + random.below(120) : Infinity;
    this.#begin(`repo ${repo.slug}`, () => this.#moveRepo(repo, to, lastStatement));
  }

  async #moveRepo(repo: Tenant["repos"][number], to: string, lastStatement: number): Promise<void> {
    // One that has begun goes on to where it was to go.
    const [open] = await insist(() =>
      this.#world.catalog.query<{ to: string | null }>("look for a move")`
        select to_shard as "to" from mpackd_repo_moves where repo_id = ${repo.repoId}`
    );
    const { moved } = await moveRepo({
      ...this.#mortal(lastStatement),
      repo,
      to: open === undefined ? to : open.to ?? "catalog",
      signal: new AbortController().signal,
      waitMs: 500,
      graceMs: STALE_MS,
      hasOwnerLimit: false,
    });
    if (moved) this.counts["repos moved"]++;
  }

  /** Waits for all, and ends every move that was interrupted. */
  async finish(): Promise<void> {
    await Promise.all(this.#running.values());
    const until = performance.now() + END_MS;
    const last = async (what: string, work: () => Promise<unknown>) => {
      for (;;) {
        try {
          await work();
          return;
        } catch (error) {
          if (performance.now() < until && isExpected(error)) await pause(200);
          else return void this.problems.push(`${what} does not end: ${(error as Error).stack}`);
        }
      }
    };
    for (const name of this.#world.names) {
      await last(`the move of ${name}`, async () => {
        const open = await findOpenMove(this.#world.catalog, name);
        if (open === undefined) return;
        const options = this.#optionsOf(name, open.newUrl, Infinity);
        await moveShard(options);
      });
    }
    for (const repo of this.#tenants.flatMap(({ repos }) => repos)) {
      await last(`the move of ${repo.slug}`, async () => {
        const [open] = await this.#world.catalog.query("look for a move")`
          select from mpackd_repo_moves where repo_id = ${repo.repoId}`;
        if (open !== undefined) await this.#moveRepo(repo, "catalog", Infinity);
      });
    }
  }

  #begin(what: string, work: () => Promise<void>): void {
    if (this.#running.has(what)) return;
    this.#tally.note(`${what}: a move begins`);
    const running = work().catch((error) => {
      if (error instanceof KilledError) this.#tally.fault("mover killed", what);
      else if (isExpected(error)) this.#tally.note(`${what}: ${error.message}`);
      else this.problems.push(`${what}: ${error.stack}`);
    }).finally(() => this.#running.delete(what));
    this.#running.set(what, running);
  }

  #mortal(lastStatement: number) {
    let statements = 0;
    const { catalog, completeUrl } = this.#world;
    const options = {
      catalog,
      completeUrl,
      connect: (url: string) => connectDatabase(url, { maxConnections: 4 }),
    };
    return mortal(options, () => ++statements >= lastStatement);
  }

  #optionsOf(shard: string, newUrl: string, lastStatement: number): MoveToOptions {
    return {
      ...this.#mortal(lastStatement),
      shard,
      newUrl,
      check: "full",
      waitMs: 500,
      signal: new AbortController().signal,
    };
  }
}

/** A service that is away, another mover, or a place that will not do: no fault of the move. */
function isExpected(error: unknown): boolean {
  return error instanceof ConfigError || error instanceof MpackdError && error.retryable;
}
