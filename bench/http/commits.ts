/**
 * A push of one commit with one file into a long history, beside a request with one statement.
 *
 * @module
 */

import type { Database } from "../../src/db/client/database.ts";
import { CommitGraph } from "../../src/jobs/history/commit_graph.ts";
import { MadeHistory } from "../../tests/support/history/make_history.ts";
import { makeGraph, seeded } from "../../tests/support/history/random_graph.ts";
import { snapshotIdOf } from "../../tests/support/history/pack_records.ts";
import { count } from "../index/measure.ts";
import type { Part } from "../index/row.ts";
import type { HttpBench } from "./contest.ts";

const COMMITS = 200_000, PUSHES = 200, WARM_UP = 20;
const ROWS = 5_000;

/** Times pushes and lookups in turns, one at a time. */
export async function commits(bench: HttpBench): Promise<Part> {
  const { resources, api, authorization } = bench, { db, repoId } = resources;
  const length = Math.round(bench.share * COMMITS);
  await resources.empty();
  let tip = await writeHistory(db, repoId, length);
  const history = new MadeHistory();
  const push = async (n: number) => {
    tip = history.commit({ parents: [tip], files: { "src/file.txt": `version ${n}` } });
    const { bytes, mpackKey } = history.pack({ commits: [tip] });
    return await timeOf(`${api.url}/bench/bench/push/stream?branch=main`, {
      method: "POST",
      headers: { authorization, "x-mpack-key": mpackKey },
      body: bytes as Uint8Array<ArrayBuffer>,
    });
  };
  await using bare = await bench.bare(await resources.make({ objects: 10, seed: 5 }));
  const ours: number[] = [], theirs: number[] = [];
  for (let n = 0; n < WARM_UP + PUSHES; n++) {
    const pushMs = await push(n);
    const [objectId] = history.objectsOf([tip]);
    const lookupMs = await timeOf(`${bare.url}/lookup/${objectId}`, {});
    if (n < WARM_UP) continue;
    ours.push(pushMs);
    theirs.push(lookupMs);
  }
  const row = (name: string, part: number) => {
    const [mine, other] = [ours, theirs].map((times) => {
      const sorted = times.toSorted((one, another) => one - another);
      return sorted[Math.floor(part * (PUSHES - 1))];
    });
    return {
      what: `${name}: push of one commit, one file, into ${count(length)} commits`,
      ours: `${mine.toFixed(1)} ms`,
      against: `a request with one statement: ${other.toFixed(1)} ms`,
      value: mine / other,
      aim: { atMost: 10 },
    };
  };
  const peakMb = await api.peakBytes() / 1e6;
  return {
    name: "commits",
    rows: [row("median", 0.5), row("99th percentile", 0.99), {
      what: `peak memory of the server, ${count(PUSHES)} such pushes`,
      ours: `${peakMb.toFixed(0)} MB`,
      against: "nothing",
      value: peakMb,
      unit: "MB",
      aim: { atMost: 200 },
    }],
  };
}

async function timeOf(url: string, init: RequestInit): Promise<number> {
  const startedAt = performance.now();
  const response = await fetch(url, init), text = await response.text();
  if (!response.ok) throw new Error(text);
  return performance.now() - startedAt;
}

/** Writes the rows of a long history, which no pack holds, and its branch; returns the head. */
async function writeHistory(db: Database, repoId: string, length: number): Promise<string> {
  const graph = new CommitGraph();
  let head = "";
  for (const commit of makeGraph(length, seeded(2))) {
    graph.addCommit({ ...commit, offsetBytes: 0 });
    head = commit.commitId;
  }
  await graph.number();
  for (const rows of graph.rows(ROWS)) {
    const located = rows.map((row) => ({ ...row, snapshot_id: snapshotIdOf(row.commit_id) }));
    await db.sql`
      with rows as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(located)}::text::jsonb) as r(
          commit_id text, parent_ids text[], generation integer, depth integer, jump_id text,
          snapshot_id text)
      ), refs as (
        insert into musehub_commit_refs (repo_id, commit_id, mpack_id, record_offset, record_bytes,
          snapshot_id, author, committed_at, message)
        select ${repoId}, commit_id, 0, 0, 0, snapshot_id, 'ada', '2026-11-27T10:15:37+00:00', ''
        from rows order by commit_id collate "C"
      ), snapshots as (
        insert into musehub_snapshot_refs (repo_id, snapshot_id, mpack_id, record_offset,
          record_bytes, entries)
        select ${repoId}, snapshot_id, 0, 0, 0, 0 from rows order by snapshot_id collate "C"
      )
      insert into musehub_commit_graph (repo_id, commit_id, parent_ids, generation, depth, jump_id)
      select ${repoId}, commit_id, parent_ids, generation, depth, jump_id from rows
      order by commit_id collate "C"`;
  }
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    values (${repoId}, 'main', ${head})`;
  await db.sql`vacuum analyze musehub_commit_graph, musehub_commit_refs, musehub_snapshot_refs`;
  return head;
}
