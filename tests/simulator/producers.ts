/**
 * Producers: they put a pack into the store, perhaps too late, and enqueue a job.
 *
 * @module
 */

import { connectDatabase } from "../../src/db/client/connect.ts";
import type { Database } from "../../src/db/client/database.ts";
import { execute } from "../../src/db/client/execute.ts";
import { MPACK_INDEX } from "../../src/jobs/index/payload.ts";
import { cancelJob } from "../../src/jobs/queue/cancel_job.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import type { BlobStore } from "../../src/stream/store/blob_store.ts";
import type { Random } from "../fuzz/random.ts";
import { nameOf, type Pushed } from "./oracles/oracles.ts";
import { PackMaker, type SimPack } from "./packs.ts";
import { STATEMENT_TIMEOUT_MS } from "./settings.ts";
import type { StatementFaults } from "./faults/statement_faults.ts";
import type { Tally } from "./tally.ts";
import { insist } from "./waits.ts";
import { short } from "./workers/worker_here.ts";

/** No job may fail because it met too many faults. */
const MANY_ATTEMPTS = 1_000_000;
const DAY_MS = 24 * 60 * 60_000;

/** What producers work with. */
export interface ProducerOptions {
  /** The database. */
  readonly databaseUrl: string;
  /** The store, without faults. */
  readonly store: BlobStore;
  /** The repos they push to. */
  readonly repoIds: readonly string[];
  /** Whether packs have few small objects. */
  readonly smallPacks: boolean;
  /** What happens to their statements. */
  readonly statements: StatementFaults;
  /** Hears what they do. */
  readonly tally: Tally;
  /** Draws the packs. */
  readonly random: Random;
}

/** All producers of one run. */
export class Producers implements AsyncDisposable {
  /** What they did. */
  readonly pushed = {
    packs: new Map<string, SimPack & { blobKey: string; etag?: string }>(),
    jobIds: new Set<string>(),
    cancelled: new Set<string>(),
  } satisfies Pushed;
  readonly #options: ProducerOptions;
  readonly #pool: Database;
  readonly #db: Database;
  readonly #packs: PackMaker;
  /** Packs whose jobs are there and whose blobs are not yet. */
  readonly #late: SimPack[] = [];
  #duplicates = 0;

  /** Connects. */
  constructor(options: ProducerOptions) {
    this.#options = options;
    this.#packs = new PackMaker(options.random, options.smallPacks);
    this.#pool = connectDatabase(options.databaseUrl, {
      maxConnections: 1,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      applicationName: "mpackd producer",
    });
    this.#db = {
      ...this.#pool,
      intercept: (query, action) => options.statements.send(this.#pool, query, action),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool.close();
  }

  /** Pushes one pack: a new one, one that is there already, or one for another repo. */
  async push(random: Random): Promise<void> {
    const { repoIds } = this.#options, known = [...this.pushed.packs.values()];
    const isKnown = known.length > 0 && random.once(4);
    const pack = isKnown ? random.pick(known) : this.#packs.make(random.pick(repoIds));
    const isLate = !isKnown && random.once(6), isDuplicated = random.once(5);
    const skewMs = random.below(2 * DAY_MS) - DAY_MS;
    if (!isKnown) {
      const blobKey = `mpacks/${pack.repoId}/${pack.mpackKey}`;
      this.pushed.packs.set(nameOf(pack), { ...pack, blobKey });
      if (isLate) this.#late.push(pack);
      else await this.#put(pack);
    }
    const { repoId, mpackKey, payload, rejection } = pack;
    const { row } = await insist(() =>
      enqueue(this.#db, {
        repoId,
        jobType: MPACK_INDEX,
        payload,
        maxAttempts: MANY_ATTEMPTS,
        priority: random.below(3),
      })
    );
    this.pushed.jobIds.add(row.jobId);
    this.#options.tally.note(
      `${short(row.jobId)} is enqueued: ${mpackKey.slice(7, 15)} of ${repoId}, ` +
        `${pack.bytes.length} bytes, ${rejection ?? "good"}${isLate ? ", blob to come" : ""}`,
    );
    if (isDuplicated) await this.#insertDuplicate(pack, skewMs);
  }

  /** Puts the blobs that are late. */
  async catchUp(): Promise<void> {
    for (const pack of this.#late.splice(0)) await this.#put(pack);
  }

  /** Asks for a job to be cancelled; it may have ended. */
  async cancel(random: Random): Promise<void> {
    if (this.pushed.jobIds.size === 0) return;
    const jobId = random.pick([...this.pushed.jobIds].slice(-5));
    this.pushed.cancelled.add(jobId);
    this.#options.tally.note(`${short(jobId)} is to be cancelled`);
    await insist(() => cancelJob(this.#db, jobId));
  }

  async #put(pack: SimPack): Promise<void> {
    const { repoId, mpackKey, bytes } = pack;
    const { etag } = await this.#options.store.put(
      `mpacks/${repoId}/${mpackKey}`,
      ReadableStream.from([bytes]),
      { sizeBytes: bytes.length },
    );
    this.pushed.packs.get(nameOf(pack))!.etag = etag;
  }

  /** Inserts a row as another program does: only the base columns, and a time by its own clock. */
  async #insertDuplicate({ repoId, payload }: SimPack, skewMs: number): Promise<void> {
    const jobId = `duplicate-${++this.#duplicates}`,
      createdAt = new Date(Date.now() + skewMs).toISOString();
    this.#options.tally.fault("clock skewed", `${jobId} by ${(skewMs / 3_600_000).toFixed(1)} h`);
    const { sql } = this.#pool;
    const insert = () =>
      sql`insert into musehub_background_jobs
        (job_id, repo_id, job_type, payload, status, created_at, attempt, max_attempts)
        values (${jobId}, ${repoId}, ${MPACK_INDEX}, ${JSON.stringify(payload)}::text::json,
          'pending', ${createdAt}::text::timestamptz, 0, ${MANY_ATTEMPTS})
        on conflict do nothing`;
    await insist(() => execute(this.#db, insert(), { action: "insert a duplicate" }));
    this.pushed.jobIds.add(jobId);
  }
}
