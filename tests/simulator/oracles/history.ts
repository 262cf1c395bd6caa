/**
 * What must be true of history at any moment.
 *
 * @module
 */

import type { Snapshot, SnapshotPack } from "./snapshot.ts";

/**
 * Commits are visible exactly when a pack is that has them; generations are those of the graph; and a
 * branch is where a job that is done says that it has moved it, all of its ancestors being there.
 */
export function wrongHistory(
  snapshot: Snapshot,
  commitsOf: (pack: SnapshotPack) => readonly string[],
): string[] {
  return [...wrongCommits(snapshot, commitsOf), ...wrongGraph(snapshot), ...wrongHeads(snapshot)];
}

function wrongCommits(
  { packs, commits }: Snapshot,
  commitsOf: (pack: SnapshotPack) => readonly string[],
): string[] {
  const problems: string[] = [], wanted = new Map<string, Set<number>>();
  for (const pack of packs) {
    for (const id of commitsOf(pack)) {
      const name = `${pack.repoId} ${id}`;
      wanted.set(name, (wanted.get(name) ?? new Set()).add(pack.mpackId));
    }
  }
  for (const [repoId, id, mpackId] of commits) {
    const name = `${repoId} ${id}`;
    if (!wanted.get(name)?.has(mpackId)) {
      problems.push(`commit ${name} is visible in pack ${mpackId}, which does not have it`);
    }
    wanted.delete(name);
  }
  return [...problems, ...[...wanted.keys()].map((name) => `commit ${name} is missing`)];
}

function wrongGraph({ commits, graph }: Snapshot): string[] {
  const problems: string[] = [];
  const rows = new Map(graph.map((row) => [`${row[0]} ${row[1]}`, row]));
  const visible = new Set(commits.map(([repoId, id]) => `${repoId} ${id}`));
  for (const name of visible) {
    if (!rows.has(name)) problems.push(`${name} is not in the graph`);
  }
  for (const [name, [repoId, , generation, parents]] of rows) {
    if (!visible.has(name)) problems.push(`${name} is in the graph and not visible`);
    if (generation === null) continue;
    const before = parents.map((id) => rows.get(`${repoId} ${id}`)?.[2] ?? NaN);
    const right = 1 + Math.max(0, ...before);
    if (generation !== right) problems.push(`${name} has generation ${generation}, not ${right}`);
  }
  return problems;
}

function wrongHeads({ jobs, graph, heads }: Snapshot): string[] {
  const problems: string[] = [], moved = new Map<string, Set<string>>();
  for (const { repoId, status, result } of jobs) {
    if (status !== "done" || !result?.branch?.moved) continue;
    const { name, head } = result.branch, branch = `${repoId} ${name}`;
    moved.set(branch, (moved.get(branch) ?? new Set()).add(head));
  }
  const generations = new Map(
    graph.map(([repoId, id, generation]) => [`${repoId} ${id}`, generation]),
  );
  for (const [repoId, name, head] of heads) {
    const branch = `${repoId} ${name}`;
    if (!moved.get(branch)?.has(head)) {
      problems.push(`branch ${branch} is at ${head}, where no job has moved it`);
    }
    if ((generations.get(`${repoId} ${head}`) ?? null) === null) {
      problems.push(`branch ${branch} is at ${head}, an ancestor of which is missing`);
    }
    moved.delete(branch);
  }
  return [...problems, ...[...moved.keys()].map((name) => `branch ${name} has moved and is gone`)];
}
