/**
 * Random histories, pushed as clients do, beside gc: and what must be there afterwards.
 *
 * @module
 */

import assert from "node:assert/strict";
import { DatabaseError, InvalidMpackError, StoreError } from "../../../src/errors.ts";
import { readManifest } from "../../../src/history/read_manifest.ts";
import { collectGarbage } from "../../../src/maintenance/gc/gc.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import { filterMissing } from "../../../src/objects/ghosts.ts";
import { readObjects } from "../../../src/objects/read_objects.ts";
import { Random } from "../../fuzz/random.ts";
import type { TestFixture } from "../process/fixture.ts";
import { MadeHistory } from "./make_history.ts";
import { indexHistory } from "./record_history.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** What a client answers with a new look at what the server lacks. */
const MISSING = ["ghost-objects", "parent-missing", "snapshot-missing"];
const MOST_TRIES = 500;
const TABLES = ["musehub_commit_refs", "musehub_snapshot_refs", "musehub_object_refs"];

/** One repo under random pushes. */
export class RandomPushes {
  readonly #fixture: TestFixture;
  readonly #random: Random;
  readonly #history = new MadeHistory();
  #tags = 0;

  constructor(fixture: TestFixture, seed: number) {
    this.#fixture = fixture;
    this.#random = new Random(seed);
  }

  /** Some pushes at once, and perhaps gc; then checks all that branches and tags reach. */
  async round(): Promise<void> {
    const collecting = this.#random.below(2) === 0 ? this.age().then(() => this.gc()) : undefined;
    await Promise.all([this.pushes(), collecting]);
    await this.check();
  }

  /** Some pushes at once, some without an end; then a branch may go, and a tag come. */
  async pushes(): Promise<void> {
    const work: Promise<unknown>[] = [];
    for (let left = 1 + this.#random.below(3); left > 0; left--) {
      const kind = this.#random.below(6);
      work.push(kind === 0 ? this.#abandon() : this.#push(`branch-${this.#random.below(3)}`));
    }
    await Promise.all(work);
    const { db, repo: { repoId } } = this.#fixture;
    if (this.#random.below(5) === 0) {
      await db.sql`delete from musehub_branches
        where repo_id = ${repoId} and name = ${`branch-${this.#random.below(3)}`}`;
    }
    if (this.#random.below(5) === 0) {
      await db.sql`insert into musehub_tags (repo_id, tag, commit_id)
        select ${repoId}, ${`v${++this.#tags}`}, head_commit_id from musehub_branches
        where repo_id = ${repoId} limit 1`;
    }
  }

  /** Makes all that is there older than the grace time. */
  async age(): Promise<void> {
    const { sql } = this.#fixture.db, then = new Date(Date.now() - 2 * DAY_MS);
    for (const table of TABLES) await sql`update ${sql(table)} set created_at = ${then}`;
  }

  /** Collects garbage once. */
  async gc(): Promise<void> {
    const { db, store } = this.#fixture;
    await collectGarbage({
      db,
      store,
      config: this.#fixture.config(),
      graceMs: DAY_MS,
      signal: new AbortController().signal,
    });
  }

  /** Everything that is reached is there, and can be read. */
  async check(): Promise<void> {
    const { db, store, repo: { repoId } } = this.#fixture, reached = await this.#reached();
    for (const [i, table] of TABLES.entries()) {
      const id = ["commit_id", "snapshot_id", "object_id"][i];
      const rows = await db.sql`select ${db.sql(id)} as id from ${db.sql(table)}
        where repo_id = ${repoId}`;
      const found = new Set(rows.map((row) => row.id as string));
      for (const wanted of reached[i]) assert.ok(found.has(wanted), `${table} has ${wanted}`);
    }
    for (const snapshotId of reached[1]) {
      const entries = await Array.fromAsync(readManifest({ db, store, repoId, snapshotId }));
      assert.equal(entries.length, this.#history.snapshots.get(snapshotId)!.manifest.size);
    }
    let objects = 0;
    for await (const _ of readObjects({ db, store, repoId, objectIds: reached[2] })) objects++;
    assert.equal(objects, reached[2].size);
  }

  /**
   * Nothing else is there but snapshots that others are deltas over. To be called when all is old and
   * collected.
   */
  async checkNothingElse(): Promise<void> {
    const { db, repo: { repoId } } = this.#fixture, reached = await this.#reached();
    const [{ bases }] = await db.sql`select count(*)::int as bases from musehub_snapshot_refs b
      where repo_id = ${repoId} and not snapshot_id = any(${`{${
      [...reached[1]].join(",")
    }}`}::text[]) and exists (
        select from musehub_snapshot_refs s
        where s.repo_id = ${repoId} and s.parent_snapshot_id = b.snapshot_id)`;
    for (const [i, table] of TABLES.entries()) {
      const [{ rows }] = await db.sql`select count(*)::int as rows from ${db.sql(table)}
        where repo_id = ${repoId}`;
      assert.equal(rows, reached[i].size + (i === 1 ? bases : 0), table);
    }
  }

  async #reached(): Promise<[Set<string>, Set<string>, Set<string>]> {
    const { db, repo: { repoId } } = this.#fixture;
    const heads = await db.sql`select head_commit_id as id from musehub_branches
      where repo_id = ${repoId} union select commit_id from musehub_tags where repo_id = ${repoId}`;
    const commits = new Set(heads.flatMap(({ id }) => this.#history.reachable(id)));
    const snapshots = new Set([...commits].map((id) => this.#history.commits.get(id)!.snapshotId));
    return [commits, snapshots, new Set(this.#history.objectsOf(commits))];
  }

  /** Commits on top of any commit ever made, and pushes what the server lacks. */
  async #push(branch: string): Promise<void> {
    const head = this.#commit();
    for (let tries = 1;; tries++) {
      try {
        return await this.#pushOnce(branch, head);
      } catch (error) {
        const isKnown = error instanceof InvalidMpackError && MISSING.includes(error.code) ||
          // A gc without a grace time takes files that are half written.
          error instanceof StoreError || error instanceof DatabaseError && error.retryable;
        if (!isKnown || tries === MOST_TRIES) throw error;
        await sleep(20);
      }
    }
  }

  async #pushOnce(branch: string, head: string): Promise<void> {
    const { db, repo: { repoId } } = this.#fixture, history = this.#history;
    const rows = await db.sql`select commit_id from musehub_commit_graph
      where repo_id = ${repoId} and generation is not null`;
    const known = new Set(rows.map(({ commit_id }) => commit_id as string));
    const commits = history.reachable(head).filter((id) => !known.has(id));
    const objectIds = history.objectsOf(commits);
    const missing = await filterMissing({ db, repoId, objectIds });
    if (missing.length > 0) {
      const objects = history.pack({ commits: [], objects: missing });
      await indexHistory(this.#fixture, objects, { partial: true });
    }
    const isDelta = this.#random.below(2) === 0;
    const bundle = history.pack({ commits, objects: [], isDelta });
    await indexHistory(this.#fixture, bundle, { branch, head, force: true, strict: true });
  }

  /** Begins a push and does not finish it. */
  async #abandon(): Promise<void> {
    const head = this.#commit(), history = this.#history;
    const pack = history.pack({ commits: [], objects: history.objectsOf([head]) });
    // It may fail as any push may.
    await indexHistory(this.#fixture, pack, { partial: true }).catch(() => {});
  }

  #commit(): string {
    const made = [...this.#history.commits.keys()], files: Record<string, string> = {};
    const any = () => made[this.#random.below(made.length)];
    const parents = made.length === 0 || this.#random.below(10) === 0
      ? []
      : this.#random.below(4) === 0
      ? [...new Set([any(), any()])]
      : [any()];
    // Few contents, so that what is dropped comes back.
    for (let left = this.#random.below(5); left > 0; left--) {
      files[`file ${this.#random.below(4)}`] = `content ${this.#random.below(12)}`;
    }
    return this.#history.commit({ parents, files });
  }
}
