/**
 * Fault sweep: each statement and each read of a job fails once, in every way.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { MpackdError } from "../../src/errors.ts";
import { indexMpack, type IndexMpackOptions } from "../../src/jobs/index/index_mpack.ts";
import { collect } from "../support/store/blobs.ts";
import {
  DATABASE_FAULTS,
  faultyDatabase,
  faultyStore,
  STORE_FAULTS,
} from "../support/postgres/faults.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const ENV = { MPACK_BATCH_ROWS: "100" };
/** Short deadlines for the faults that hang. Others have none: a busy machine may be slow. */
const IMPATIENT = {
  ...ENV,
  MPACK_PUBLISH_TIMEOUT_MS: "1000",
  MPACK_STORE_IDLE_MS: "100",
  MPACK_STORE_RETRIES: "0",
};
const IMPATIENT_STATEMENT_MS = 500;
/** A job with more calls than this would never end. */
const MOST_CALLS = 60;

interface Case {
  readonly name: string;
  readonly objects: number;
  readonly size: string;
  /** Whether an earlier attempt was interrupted and left a checkpoint. */
  readonly isResumed?: boolean;
}

const CASES: Case[] = [
  { name: "one batch", objects: 30, size: "100" },
  { name: "several batches", objects: 300, size: "5000" },
  { name: "several batches, resumed", objects: 300, size: "5000", isResumed: true },
];

/** The pack moves a branch, and its history is checked. */
function optionsOf(fixture: TestFixture, key: string, env = ENV): IndexMpackOptions {
  return { ...fixture.options(key, env), payload: { branch: "main" } };
}

/** One pack in a fixture that can be reset to before the indexing. */
async function prepare(fixture: TestFixture, { objects, size, isResumed }: Case) {
  const bytes = await collect(
    makeMpack({ objects, size: parseSize(size), seed: objects, tags: 2 }),
  );
  const key = await fixture.put(bytes);
  const begin = async () => {
    await fixture.empty();
    if (!isResumed) return;
    const stop = new AbortController();
    await assert.rejects(indexMpack({
      ...optionsOf(fixture, key),
      signal: stop.signal,
      onProgress: ({ objects: found }) => found > objects / 2 && stop.abort(),
    }));
    assert.ok(await fixture.staged() > 0, "the interrupted attempt staged nothing");
  };
  await begin();
  const empty = await fixture.dump();
  const result = await indexMpack(optionsOf(fixture, key));
  assert.equal(result.resumed_from_byte > 0, isResumed === true);
  return { key, bytes, begin, empty, clean: await fixture.dump() };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** One call that may fail, then calls that must not: all or nothing, and all in the end. */
async function run(
  fixture: TestFixture,
  { key, empty, clean }: Prepared,
  faulty: IndexMpackOptions,
  what: string,
): Promise<{ failure?: MpackdError }> {
  const { sql } = fixture.db;
  let failure: MpackdError | undefined;
  for (let call = 1; call <= 3; call++) {
    let isDone = false;
    try {
      await indexMpack(call === 1 ? faulty : optionsOf(fixture, key));
      isDone = true;
    } catch (error) {
      assert.ok(error instanceof MpackdError, `${what}: ${(error as Error).stack}`);
      assert.ok(error.retryable, `${what} ended for good: ${error}`);
      assert.equal(call, 1, `${what}: did not converge: ${error}`);
      failure = error;
    }
    const jobs = await sql`select status from musehub_background_jobs`;
    const isPublished = jobs.some(({ status }) => status === "done");
    assertAllOrNothing(await fixture.dump(), isPublished ? clean : empty, clean, what);
    assert.ok(jobs.every(({ status }) => status !== "failed"), `${what}: the job failed for good`);
    if (isDone) break;
    // Do not wait until the lease of the failed attempt lapses.
    await sql`update musehub_background_jobs set lease_expires_at = now() where status = 'running'`;
  }
  assert.equal(await fixture.dump(), clean, `${what}: other rows than a clean run's`);
  assert.equal(await fixture.staged(), 0, `${what}: staged rows are left`);
  const [{ open }] = await sql`
    select count(*)::int as open from musehub_background_jobs where status <> 'done'`;
  assert.equal(open, 0, `${what}: a job is left`);
  return { failure };
}

/**
 * The rows are those of `wanted`. Only objects of the clean run may be there early: those of a proved
 * pack are written in batches before its publish, and no repo sees them without a ref.
 */
function assertAllOrNothing(found: string, wanted: string, clean: string, what: string): void {
  const [objects, ...others] = found.split("\n\n"), [wantedObjects, ...rest] = wanted.split("\n\n");
  assert.deepEqual(others, rest, `${what}: half a pack is visible`);
  if (objects === wantedObjects) return;
  const allowed = new Set(clean.split("\n\n")[0].split("\n"));
  const strange = objects.split("\n").filter((row) => !allowed.has(row));
  assert.deepEqual(strange, [], `${what}: objects that the pack does not have`);
  assert.equal(wanted === clean, false, `${what}: objects are missing`);
}

for (const shape of CASES) {
  Deno.test(`indexMpack() is all or nothing with any statement failing, and converges: ${shape.name}`, async (t) => {
    await using fixture = await createFixture();
    const prepared = await prepare(fixture, shape);
    const once = DATABASE_FAULTS.map((fault) => ({ fault, times: 1 }));
    const forGood = { fault: "refused", times: Infinity } as const;
    for (const { fault, times } of [...once, forGood]) {
      let at = 1, failed = 0;
      await t.step(`${fault}, ${times === 1 ? "once" : "from then on"}`, async () => {
        for (; at < MOST_CALLS; at++) {
          await prepared.begin();
          const isHung = fault === "hung";
          const db = isHung
            ? { ...fixture.db, statementTimeoutMs: IMPATIENT_STATEMENT_MS }
            : fixture.db;
          const faulty = faultyDatabase(db, { at, fault, times });
          const options = optionsOf(fixture, prepared.key, isHung ? IMPATIENT : ENV);
          const what = `statement ${at} ${fault}`;
          const { failure } = await run(fixture, prepared, { ...options, db: faulty.db }, what);
          // A call that was only late on a busy machine does not end the sweep.
          if (faulty.faults === 0 && !failure) break;
          if (failure) failed++;
        }
        assert.ok(at < MOST_CALLS);
      });
      console.log(`${at - 1} statements ${fault}, ${failed} of the calls failed`);
      assert.ok(failed > 0);
    }
  });

  Deno.test(`indexMpack() is all or nothing with any read failing, and converges: ${shape.name}`, async (t) => {
    await using fixture = await createFixture();
    const prepared = await prepare(fixture, shape);
    for (const fault of STORE_FAULTS) {
      let at = 1, failed = 0;
      await t.step(fault, async () => {
        for (; at < MOST_CALLS; at++) {
          await prepared.begin();
          const faulty = faultyStore(fixture.store, { at, fault });
          const options = optionsOf(fixture, prepared.key, fault === "hung" ? IMPATIENT : ENV);
          const { failure } = await run(
            fixture,
            prepared,
            { ...options, store: faulty.store },
            `read ${at} ${fault}`,
          );
          assert.equal(faulty.openReaders, 0, `read ${at} ${fault}: a reader was left open`);
          // A call that was only late on a busy machine does not end the sweep.
          if (faulty.faults === 0 && !failure) break;
          if (failure) failed++;
        }
        assert.ok(at < MOST_CALLS);
      });
      console.log(`${at - 1} reads ${fault}, ${failed} of the calls failed`);
      // Wrong bytes are read again in the same attempt.
      const isHealed = ["short", "wrong", "swapped"].includes(fault);
      assert.equal(failed > 0, !isHealed);
    }
  });
}
