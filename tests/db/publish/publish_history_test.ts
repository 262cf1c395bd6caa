import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { publish } from "../../../src/db/publish/publish.ts";
import { publishPacks } from "../../../src/db/publish/publish_packs.ts";
import type { PackHistory } from "../../../src/db/publish/publish_pack.ts";
import { stageBatch } from "../../../src/db/publish/stage.ts";
import { stageGraph } from "../../../src/db/publish/stage_records.ts";
import { NO_RECORDS, type RecordRows } from "../../../src/db/publish/record_rows.ts";
import { holdRepo, releaseRepo } from "../../../src/db/history/unreached.ts";
import { LeaseLostError } from "../../../src/errors.ts";
import { HistoryCheck } from "../../../src/jobs/history/history_check.ts";
import { historyOf, recordsOf, snapshotIdOf } from "../../support/history/pack_records.ts";
import { type MadeCommit, madeId } from "../../support/history/random_graph.ts";
import { addRepos, dumpTables, openTestDatabase } from "../../support/postgres/database.ts";
import { dumpContent } from "../../support/postgres/publish_oracle.ts";
import { columns, pack, REPO_ID, startJob, takeOver } from "../../support/process/leases.ts";

const [A, B, C, D] = [1, 2, 3, 4].map(madeId);
const LINE: MadeCommit[] = [
  { commitId: A, parentIds: [] },
  { commitId: B, parentIds: [A] },
  { commitId: C, parentIds: [A, B] },
];

async function open() {
  const test = await openTestDatabase();
  await addRepos(test.db, REPO_ID, "repo-2");
  return test;
}

/** Publishes a small pack with this history. */
async function push(db: Database, history: PackHistory, changes: object = {}) {
  return await publish(
    db,
    await startJob(db),
    pack({ inline: columns(["x", 1]), history, ...changes }),
  );
}

async function head(db: Database, name = "main", repoId = REPO_ID): Promise<string | undefined> {
  const [row] = await db.sql`select head_commit_id from musehub_branches
    where repo_id = ${repoId} and name = ${name}`;
  return row?.head_commit_id;
}

Deno.test("publish() writes records, graph, branch and tags with the objects", async () => {
  await using test = await open();
  const { db } = test;
  const records = recordsOf(LINE, { tags: [{ tag: "v1", commitId: B }] });
  const done = await push(db, await historyOf(db, REPO_ID, records, {}));
  assert(done.outcome === "published");
  const { commits_written, snapshots_written, tags_written } = done.result;
  assert.deepEqual([commits_written, snapshots_written, tags_written], [3, 3, 1]);
  const [commit] = await db.sql`select *, committed_time::text as time from musehub_commit_refs
    where commit_id = ${C}`;
  assert.equal(commit.mpack_id, done.mpackId);
  assert.deepEqual([commit.record_offset, commit.record_bytes], [3_000, 300]);
  assert.equal(commit.snapshot_id, snapshotIdOf(C));
  assert.equal(commit.committed_at, "2026-11-27T10:15:37.325180+00:00");
  assert.equal(new Date(commit.time).toISOString(), "2026-11-27T10:15:37.325Z");
  assert.deepEqual([commit.author, commit.annotations], ["ada", null]);
  const graph = await db.sql`select array_to_string(parent_ids, ',') as parents, generation, depth,
    jump_id from musehub_commit_graph where commit_id = ${C}`;
  assert.deepEqual([...graph], [{ parents: `${A},${B}`, generation: 3, depth: 2, jump_id: A }]);
  const [seen] = await db.sql`select storage_uri, record_offset from musehub_snapshots
    where snapshot_id = ${snapshotIdOf(A)}`;
  assert.deepEqual(seen, { storage_uri: "mpack://sha256:aa", record_offset: 1_000_000 });
  assert.equal(await head(db), C);
  const [repo] = await db.sql`select default_branch from musehub_repos where repo_id = ${REPO_ID}`;
  assert.equal(repo.default_branch, "main");
  const [tag] = await db.sql`select repo_id, tag, commit_id from musehub_tags`;
  assert.deepEqual(tag, { repo_id: REPO_ID, tag: "v1", commit_id: B });
});

Deno.test("publish() of history that is there already changes no row", async () => {
  await using test = await open();
  const { db } = test;
  const records = recordsOf(LINE, {
    commit: { reviewedBy: ["bob"], testRuns: 2, metadata: { a: "1" } },
    tags: [{ tag: "v1", commitId: B }],
  });
  await push(db, await historyOf(db, REPO_ID, records, {}));
  const before = await dumpTables(db);
  const again = await push(db, await historyOf(db, REPO_ID, records));
  assert(again.outcome === "published");
  assert.deepEqual(
    [again.result.commits_written, again.result.snapshots_written, again.result.tags_written],
    [0, 0, 0],
  );
  assert.deepEqual(await dumpTables(db), before);
});

/** Stages the records in batches of one, then publishes them. */
async function pushStaged(
  db: Database,
  rows: RecordRows,
  history: PackHistory,
  lose?: (jobId: string) => Promise<unknown>,
) {
  const job = await startJob(db);
  let batch = 0;
  const one = <T>(all: readonly T[], i: number) => all.slice(i, i + 1);
  for (; batch < rows.commits.length; batch++) {
    await stageBatch(db, job, {
      rows: columns(),
      repoId: REPO_ID,
      leaseMs: 60_000,
      batch,
      isFirst: batch === 0,
      progress: {},
      records: {
        commits: one(rows.commits, batch),
        snapshots: one(rows.snapshots, batch),
        tags: one(rows.tags, batch),
      },
    });
  }
  for (let part = 0; part < history.graph.length; part++) {
    await stageGraph(db, job, { part, rows: one(history.graph, part) });
  }
  await lose?.(job.jobId);
  return await publish(
    db,
    job,
    pack({
      inline: columns(["x", 1]),
      batches: batch,
      history: {
        ...history,
        rows: NO_RECORDS,
        graph: [],
        recordBatches: batch,
        graphBatches: history.graph.length,
      },
    }),
  );
}

Deno.test("publish() of staged records leaves the same rows as that of a small pack", async () => {
  const records = recordsOf(LINE, {
    commit: { testRuns: 1 },
    tags: [{ tag: "v1", commitId: A }, { tag: "v1", commitId: B }, {
      tag: "v2",
      commitId: madeId("nobody"),
    }],
  });
  const contents: string[] = [];
  for (const isStaged of [false, true]) {
    await using test = await open();
    const { db } = test;
    const history = await historyOf(db, REPO_ID, records, {});
    const done = isStaged ? await pushStaged(db, history.rows, history) : await push(db, history);
    assert(done.outcome === "published");
    assert.deepEqual(
      [done.result.commits_written, done.result.snapshots_written, done.result.tags_written],
      [3, 3, 1],
    );
    contents.push(await dumpContent(db));
    const [left] = await db.sql`select count(*)::int as rows from mpack_staged_records`;
    assert.equal(left.rows, 0, "staged records are dropped");
  }
  assert.equal(contents[1], contents[0]);
  assert.match(contents[0], /"tag":"v1","commit_id":"sha256:/);
  assert.doesNotMatch(contents[0], /"tag":"v2"/);
});

Deno.test("publish() notices staged records that a crash of the server has emptied", async (t) => {
  await using test = await open();
  const { db } = test;
  const history = await historyOf(db, REPO_ID, recordsOf(LINE), {});
  for (const [title, batches] of [["records", "batch = 1"], ["graph", "batch > 1000"]]) {
    await t.step(title, async () => {
      const lost = await pushStaged(
        db,
        history.rows,
        history,
        (jobId) =>
          db.sql.unsafe(
            `delete from mpack_staged_records where job_id = '${jobId}' and ${batches}`,
          ),
      );
      assert.equal(lost.outcome, "rows-missing");
      assert.equal(await head(db), undefined);
    });
  }
});

Deno.test("publish() moves a branch only from where it is expected, or writes nothing", async (t) => {
  await using test = await open();
  const { db } = test;
  await push(db, await historyOf(db, REPO_ID, recordsOf(LINE), {}));
  const next = recordsOf([{ commitId: D, parentIds: [C] }]);
  const before = await dumpTables(db);
  for (const expected of [null, B, D]) {
    await t.step(`expected at ${expected?.slice(7, 11) ?? "no place"}`, async () => {
      const history = await historyOf(db, REPO_ID, next, { expected });
      const refused = await push(db, history, { mpackKey: "sha256:bb" });
      assert.deepEqual(refused, { outcome: "branch-moved", head: C });
      assert.deepEqual(await dumpTables(db), before);
    });
  }
  await t.step("expected at its head", async () => {
    const done = await push(db, await historyOf(db, REPO_ID, next, { expected: C }));
    assert.equal(done.outcome, "published");
    assert.equal(await head(db), D);
  });
  await t.step("forced", async () => {
    const forced = { head: A, force: true };
    await push(db, await historyOf(db, REPO_ID, recordsOf(LINE), forced));
    assert.equal(await head(db), A);
  });
  await t.step("a second branch leaves the default", async () => {
    await push(db, await historyOf(db, REPO_ID, recordsOf(LINE), { name: "dev" }));
    assert.equal(await head(db, "dev"), C);
    const [repo] = await db.sql`select default_branch from musehub_repos
      where repo_id = ${REPO_ID}`;
    assert.equal(repo.default_branch, "main");
  });
});

Deno.test("publish() connects commits that wait only once they were looked at", async () => {
  await using test = await open();
  const { db } = test;
  const waiting = await historyOf(db, REPO_ID, recordsOf([{ commitId: B, parentIds: [A] }]));
  assert.equal(waiting.sawCut, true, "a parent is missing, so the check has looked");
  assert.equal((await push(db, waiting)).outcome, "published");
  const check = new HistoryCheck(db, REPO_ID), rows = await check.add(recordsOf(LINE.slice(0, 1)));
  await check.settle();
  const found = () => ({
    rows,
    graph: [...check.rows(5_000)].flat(),
    recordBatches: 0,
    graphBatches: 0,
    sawCut: check.sawCut,
  });
  const changes = { mpackKey: "sha256:bb" }, before = await dumpTables(db);
  assert.deepEqual(await push(db, found(), changes), { outcome: "cut-commits" });
  assert.deepEqual(await dumpTables(db), before);
  await check.settleCut();
  assert.equal((await push(db, found(), changes)).outcome, "published");
  const graph = await db.sql`select commit_id, generation from musehub_commit_graph
    order by generation`;
  assert.deepEqual([...graph], [{ commit_id: A, generation: 1 }, { commit_id: B, generation: 2 }]);
  // A repo in which none waits is not asked about.
  const other = await historyOf(db, REPO_ID, recordsOf([{ commitId: C, parentIds: [A, B] }]));
  assert.equal(other.sawCut, false);
  assert.equal((await push(db, other, { mpackKey: "sha256:cc" })).outcome, "published");
});

Deno.test("publish() of many packs at once lets one of them move the branch", async () => {
  await using test = await open();
  const { db } = test;
  await push(db, await historyOf(db, REPO_ID, recordsOf(LINE), {}));
  const pushes = await Promise.all(Array.from({ length: 6 }, async (_, n) => {
    const commits = [{ commitId: madeId(`racer ${n}`), parentIds: [C] }];
    const history = await historyOf(db, REPO_ID, recordsOf(commits), { expected: C });
    return await push(db, history, { mpackKey: `sha256:race ${n}` });
  }));
  const won = pushes.flatMap(({ outcome }, n) => outcome === "published" ? [n] : []);
  assert.equal(won.length, 1);
  assert.equal(await head(db), madeId(`racer ${won[0]}`));
  const [{ commits }] = await db.sql`select count(*)::int as commits from musehub_commit_refs`;
  assert.equal(commits, 4);
});

Deno.test("publishPacks() writes the history of several repos, and counts it for each", async () => {
  await using test = await open();
  const { db } = test;
  const packs = await Promise.all(["repo-2", REPO_ID].map(async (repoId, n) => ({
    lease: await startJob(db, repoId),
    pack: pack({
      repoId,
      mpackKey: `sha256:${n}`,
      storageUri: `mpack://${n}`,
      inline: columns(["x", 1]),
      history: await historyOf(db, repoId, recordsOf(LINE.slice(0, n + 1)), {
        name: `branch ${n}`,
      }),
    }),
  })));
  const plain = {
    lease: await startJob(db),
    pack: pack({ mpackKey: "sha256:2", inline: columns(["y", 1]) }),
  };
  const published = await publishPacks(db, [...packs, plain], { deadlineMs: 60_000 });
  const counts = [...packs, plain].map(({ lease }) => {
    const outcome = published.get(lease.jobId)!;
    assert(outcome.outcome === "published");
    return [outcome.result.commits_written, outcome.result.snapshots_written];
  });
  assert.deepEqual(counts, [[1, 1], [2, 2], [0, 0]]);
  assert.deepEqual([await head(db, "branch 0", "repo-2"), await head(db, "branch 1")], [A, B]);
});

Deno.test("publish() merges annotations under one commit id", async () => {
  await using test = await open();
  const { db } = test, commits = LINE.slice(0, 1);
  const steps = [
    [{}, null, null],
    [
      { reviewedBy: ["zoe", "bob"], testRuns: 3, metadata: { a: "1", b: "1" } },
      { metadata: { a: "1", b: "1" }, reviewed_by: ["bob", "zoe"], test_runs: 3 },
      true,
    ],
    [
      { reviewedBy: ["amy", "bob"], testRuns: 2, metadata: { b: "2" } },
      { metadata: { a: "1", b: "2" }, reviewed_by: ["amy", "bob", "zoe"], test_runs: 3 },
      true,
    ],
    [{}, { metadata: { a: "1", b: "2" }, reviewed_by: ["amy", "bob", "zoe"], test_runs: 3 }, true],
  ] as const;
  for (const [commit, annotations, isMerged] of steps) {
    await push(db, await historyOf(db, REPO_ID, recordsOf(commits, { commit })));
    const [row] = await db.sql`select annotations, annotations_merged from musehub_commit_refs`;
    assert.deepEqual(row, { annotations, annotations_merged: isMerged });
  }
});

Deno.test("publish() does not let annotations grow without end", async () => {
  await using test = await open();
  const { db } = test, commits = LINE.slice(0, 1);
  const much = (n: number) => ({ reviewedBy: [`${n}${"x".repeat(600_000)}`] });
  for (const n of [1, 2]) {
    await push(db, await historyOf(db, REPO_ID, recordsOf(commits, { commit: much(n) })));
  }
  const [row] = await db.sql`select length(annotations::text) as size from musehub_commit_refs`;
  assert(row.size < 700_000, `${row.size} characters`);
});

Deno.test("publish() gives damaged records the place that a pack brings", async () => {
  await using test = await open();
  const { db } = test, records = recordsOf(LINE);
  await push(db, await historyOf(db, REPO_ID, records));
  await db.sql`update musehub_commit_refs set damaged_at = now() where commit_id = ${B}`;
  await db.sql`update musehub_snapshot_refs set damaged_at = now()
    where snapshot_id = ${snapshotIdOf(A)}`;
  const changes = { mpackKey: "sha256:bb", storageUri: "mpack://sha256:bb" };
  const moved = recordsOf(LINE, { commit: { offsetBytes: 7 }, snapshot: { offsetBytes: 8 } });
  const done = await push(db, await historyOf(db, REPO_ID, moved), changes);
  assert(done.outcome === "published");
  const healed = await db.sql`select commit_id as id, record_offset from musehub_commit_refs
      where mpack_id = ${done.mpackId} and damaged_at is null
    union all select snapshot_id, record_offset from musehub_snapshot_refs
      where mpack_id = ${done.mpackId} and damaged_at is null`;
  assert.deepEqual([...healed], [
    { id: B, record_offset: 7 },
    { id: snapshotIdOf(A), record_offset: 8 },
  ]);
});

Deno.test("publish() writes the encodings of objects, staged or not, and heals with them", async () => {
  await using test = await open();
  const { db } = test;
  const inline = { ...columns(["a", 1], ["b", 2]), encodings: ["zstd", null] as const };
  const encodings = async () =>
    (await db.sql`select encoding from musehub_object_refs order by object_id`)
      .map(({ encoding }) => encoding);
  await publish(db, await startJob(db), pack({ inline }));
  assert.deepEqual(await encodings(), ["zstd", null]);
  await db.sql`update musehub_object_refs set damaged_at = now(), damage = 'loss'`;
  const turned = { ...columns(["b", 2], ["a", 1]), encodings: ["zstd", null] as const };
  const job = await startJob(db);
  const batch = { repoId: REPO_ID, leaseMs: 60_000, batch: 0, isFirst: true, progress: {} };
  await stageBatch(db, job, { ...batch, rows: turned });
  const last = columns(["c", 1]);
  await publish(db, job, pack({ mpackKey: "sha256:bb", batches: 1, objects: 3, inline: last }));
  assert.deepEqual(await encodings(), [null, "zstd", null]);
});

Deno.test("publish() takes an encoded and a plain copy of one object for no conflict", async () => {
  await using test = await open();
  const { db } = test;
  const inline = { ...columns(["a", 9], ["a", 4]), encodings: [null, "zstd"] as const };
  const done = await publish(db, await startJob(db), pack({ inline }));
  assert.equal(done.outcome, "published");
});

Deno.test("a worker of the release before goes on beside this one, and leaves history out", async () => {
  await using test = await open();
  const { db } = test;
  await push(db, await historyOf(db, REPO_ID, recordsOf(LINE), {}));
  const job = await startJob(db), before = await head(db);
  // A worker of this release has staged records and was killed; one of the last release starts over.
  await stageBatch(db, job, {
    rows: columns(["a", 1]),
    repoId: REPO_ID,
    leaseMs: 60_000,
    batch: 0,
    isFirst: true,
    progress: {},
    records: (await historyOf(db, REPO_ID, recordsOf([{ commitId: D, parentIds: [] }]))).rows,
  });
  const { fence } = await takeOver(db, job.jobId);
  const staged = await db
    .sql`select * from mpackd_stage_1(${job.jobId}, ${fence}::bigint, ${REPO_ID},
    60000, '{}', false, null, 0, true, '{a}', '{10}', '{1}')`;
  assert.equal(staged.length, 1);
  const described = {
    job_id: job.jobId,
    fence,
    repo_id: REPO_ID,
    mpack_key: "sha256:old",
    blob_key: "old",
    etag: "e",
    storage_uri: "mpack://sha256:old",
    size_bytes: 9,
    objects: 1,
    commits: 0,
    snapshots: 0,
    tags: 0,
    rows_in_memory: 1,
    first_batch: 0,
    end_batch: 0,
    duplicates: 0,
    is_sorted: true,
    is_fresh: false,
    elapsed_ms: 0,
    result: {},
  };
  const [done] = await db.sql`select outcome from mpackd_publish_1(
    ${JSON.stringify([described])}::text::jsonb, '{1}', '{a}', '{10}', '{1}', null, null)`;
  assert.equal(done.outcome, "published");
  assert.equal(await head(db), before);
  const [{ commits, left }] = await db.sql`
    select (select count(*) from musehub_commit_refs)::int as commits,
      (select count(*) from mpack_staged_records)::int as left`;
  assert.deepEqual([commits, left], [3, 0]);
});

Deno.test("stageGraph() of a worker that lost its lease writes nothing", async () => {
  await using test = await open();
  const { db } = test;
  const job = await startJob(db);
  await takeOver(db, job.jobId);
  await assert.rejects(stageGraph(db, job, { part: 0, rows: [] }), LeaseLostError);
  const [{ rows }] = await db.sql`select count(*)::int as rows from mpack_staged_records`;
  assert.equal(rows, 0);
});

Deno.test("publish() refuses an attempt that began before gc let its repo go", async () => {
  await using test = await open();
  const { db } = test, walk = { repoId: REPO_ID, walkId: "w", before: "now" };
  assert.ok(await holdRepo(db, walk));
  // gc asks for running jobs before it holds the repo, and this one was claimed at that moment.
  const job = await startJob(db), small = pack({ inline: columns(["x", 1]) });
  assert.equal((await publish(db, job, small)).outcome, "held");
  await releaseRepo(db, walk, null);
  assert.equal((await publish(db, job, small)).outcome, "held", "what it looked up may be gone");
  assert.equal((await db.sql`select from musehub_object_refs`).length, 0);
  const again = await takeOver(db, job.jobId);
  assert.equal((await publish(db, again, small)).outcome, "published");
});
