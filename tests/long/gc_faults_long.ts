/**
 * Each statement of gc and of repack fails once, before and after it took effect: nothing that is left
 * needs what is gone, and the next run goes on.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readManifest } from "../../src/history/read_manifest.ts";
import type { Database } from "../../src/db/client/database.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { repack } from "../../src/maintenance/repack/repack.ts";
import { readObjects } from "../../src/objects/read_objects.ts";
import { DEFAULT_LIMITS } from "../../src/stream/mpack/limits.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { faultyDatabase } from "../support/postgres/faults.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** A run with more statements than this would never end. */
const MOST_STATEMENTS = 80;

/** A branch, and a longer history that a force push has left behind, with deltas and a merge. */
async function prepare(fixture: TestFixture): Promise<{ history: MadeHistory; head: string }> {
  await fixture.empty();
  const history = new MadeHistory();
  const root = history.commit({ files: { a: "shared", b: "1" } });
  const lost = [root];
  for (let i = 0; i < 4; i++) {
    lost.push(history.commit({ parents: [lost[i]], files: { a: "shared", b: `lost ${i}` } }));
  }
  lost.push(history.commit({ parents: [lost[4], lost[2]], files: { a: "shared", c: "merge" } }));
  await indexHistory(fixture, history.pack({ commits: lost, isDelta: true }), { branch: "main" });
  const head = history.commit({ parents: [root], files: { a: "shared", b: "kept" } });
  await indexHistory(fixture, history.pack({ commits: [head] }), {
    branch: "main",
    force: true,
    strict: true,
  });
  const then = new Date(Date.now() - 2 * DAY_MS), { sql } = fixture.db;
  for (const table of ["musehub_commit_refs", "musehub_snapshot_refs", "musehub_object_refs"]) {
    await sql`update ${sql(table)} set created_at = ${then}`;
  }
  return { history, head };
}

/** Every commit that is there has its parents, its snapshot, and the objects of that. */
async function checkWhole({ db, store, repo: { repoId } }: TestFixture): Promise<void> {
  const broken = await db.sql`
    select g.commit_id from musehub_commit_graph g
    where g.repo_id = ${repoId} and (exists (
        select from unnest(g.parent_ids) as p(id) where not exists (
          select from musehub_commit_graph o where o.repo_id = ${repoId} and o.commit_id = p.id))
      or not exists (
        select from musehub_commit_refs c
        join musehub_snapshot_refs s on s.repo_id = c.repo_id and s.snapshot_id = c.snapshot_id
        where c.repo_id = ${repoId} and c.commit_id = g.commit_id))`;
  assert.equal(broken.length, 0);
  const snapshots = await db.sql`select snapshot_id from musehub_snapshot_refs`;
  const ids = new Set<string>();
  for (const { snapshot_id: snapshotId } of snapshots) {
    for await (const [, id] of readManifest({ db, store, repoId, snapshotId })) ids.add(id);
  }
  for await (const _ of readObjects({ db, store, repoId, objectIds: ids }));
}

async function sweep(
  work: (fixture: TestFixture, db: Database) => Promise<unknown>,
  after: (fixture: TestFixture, made: { history: MadeHistory; head: string }) => Promise<void>,
): Promise<void> {
  await using fixture = await createFixture();
  for (const fault of ["refused", "lost"] as const) {
    for (let at = 1; at < MOST_STATEMENTS; at++) {
      const made = await prepare(fixture), faulty = faultyDatabase(fixture.db, { at, fault });
      await work(fixture, faulty.db).catch(() => {});
      const where = `${faulty.seen[at - 1]} (${at}) was ${fault}`;
      try {
        await checkWhole(fixture);
        // A hold whose gc was killed expires after a minute.
        await fixture.db.sql`update mpackd_collections set expires_at = now() - interval '1 s'`;
        await after(fixture, made);
        await checkWhole(fixture);
      } catch (error) {
        throw new Error(`After ${where}: ${error}`, { cause: error });
      }
      if (faulty.faults === 0) break;
    }
  }
}

function gc({ store, config }: TestFixture, db: Database) {
  const { signal } = new AbortController();
  return collectGarbage({ db, store, config: config(), graceMs: DAY_MS, signal });
}

Deno.test("gc of history may end at any statement", async () => {
  await sweep(gc, async (fixture, { history, head }) => {
    await gc(fixture, fixture.db);
    const rows = await fixture.db.sql`select commit_id from musehub_commit_refs`;
    assert.deepEqual(
      rows.map(({ commit_id }) => commit_id).sort(),
      history.reachable(head).sort(),
    );
  });
});

function repackOf({ store, config, repo: { repoId } }: TestFixture, db: Database) {
  return repack({
    db,
    store,
    config: config(),
    limits: DEFAULT_LIMITS,
    repoId,
    maxContentBytes: DEFAULT_LIMITS.maxContentBytes,
    packBytes: 1024 ** 3,
    signal: new AbortController().signal,
  });
}

Deno.test("repack may end at any statement", async () => {
  await sweep(repackOf, async (fixture) => {
    await repackOf(fixture, fixture.db);
    const packs = await fixture.db.sql`select distinct mpack_id from musehub_object_refs`;
    assert.equal(packs.length, 1);
  });
});
