/**
 * Whether a commit is an ancestor of another, in a repo of 200,000 commits: what a push that moves a
 * branch asks.
 *
 * @module
 */

import { isAncestor } from "../../src/db/history/graph.ts";
import { CommitGraph } from "../../src/jobs/history/commit_graph.ts";
import { sha256Hex } from "../../src/lib/digest.ts";
import { count } from "./measure.ts";
import type { BenchResources } from "./resources.ts";
import type { Part, Row } from "./row.ts";

const COMMITS = 200_000, QUESTIONS = 400;
const REPO = "bench-ancestors";

/** A main line of commits, and branches of up to eight, nine in ten of them merged. */
function makeLine(commits: number): { readonly graph: CommitGraph; readonly main: string[] } {
  const graph = new CommitGraph(), main: string[] = [];
  let seed = 7, made = 0;
  const random = (n: number) =>
    Math.floor((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32 * n);
  const add = (parentIds: string[]) => {
    const commitId = `sha256:${sha256Hex(`${made++}`)}`;
    graph.addCommit({ commitId, parentIds, offsetBytes: 0 });
    return commitId;
  };
  main.push(add([]));
  while (made < commits) {
    if (random(10) >= 3) {
      main.push(add([main.at(-1)!]));
      continue;
    }
    let at = main[Math.max(0, main.length - 1 - random(50))];
    for (let rest = 1 + random(8); rest > 0; rest--) at = add([at]);
    if (random(10) > 0) main.push(add([main.at(-1)!, at]));
  }
  return { graph, main };
}

/** Median and 99th percentile of the answers. */
export async function ancestors({ db }: BenchResources, share: number): Promise<Part> {
  const { graph, main } = makeLine(Math.round(share * COMMITS));
  await graph.number();
  const ids: string[] = [];
  for (const rows of graph.rows(5_000)) {
    for (const row of rows) ids.push(row.commit_id);
    await db.sql`
      insert into musehub_commit_graph (repo_id, commit_id, parent_ids, generation, depth, jump_id)
      select ${REPO}, r.* from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
        as r(commit_id text, parent_ids text[], generation integer, depth integer, jump_id text)`;
  }
  const times: number[] = [], tip = main.at(-1)!;
  for (let n = 0; n < QUESTIONS; n++) {
    const pick = (from: readonly string[]) => from[Math.floor(Math.random() * from.length)];
    const ancestorId = pick(n % 2 === 0 ? ids : main), commitId = n % 4 < 2 ? tip : pick(ids);
    const startedAt = performance.now();
    await isAncestor(db, { repoId: REPO, ancestorId, commitIds: [commitId] });
    times.push(performance.now() - startedAt);
  }
  await db.sql`delete from musehub_commit_graph where repo_id = ${REPO}`;
  times.sort((a, b) => a - b);
  const row = (name: string, part: number, atMost: number): Row => {
    const value = times[Math.floor(part * (QUESTIONS - 1))];
    return {
      what: `${name}: is a commit an ancestor of another, of ${count(ids.length)}`,
      ours: `${value.toFixed(1)} ms`,
      against: "nothing",
      value,
      unit: "ms",
      aim: { atMost },
    };
  };
  return { name: "ancestors", rows: [row("median", 0.5, 20), row("99th percentile", 0.99, 100)] };
}
