/**
 * A client's own repo in memory: it makes commits as clients do, and checks what it is given.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

/** A commit, with every key that a client sends. */
export interface MuseCommit {
  readonly [key: string]: unknown;
  readonly commit_id: string;
  readonly snapshot_id: string;
  readonly parent_commit_id: string | null;
  readonly parent2_commit_id: string | null;
  readonly message: string;
  readonly committed_at: string;
  readonly author: string;
}

export interface MuseSnapshot {
  readonly snapshot_id: string;
  readonly manifest: Readonly<Record<string, string>>;
  readonly created_at: string;
}

/** What a fetch answers, and what a push sends. */
export interface Bundle {
  readonly commits: readonly MuseCommit[];
  readonly snapshots: readonly MuseSnapshot[];
  readonly objects: readonly { readonly object_id: string; readonly content: Uint8Array }[];
  readonly branch_heads?: Readonly<Record<string, string>>;
}

export type Files = Readonly<Record<string, string | Uint8Array>>;

export const sha256 = (bytes: string | Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex");

const utf8 = new TextEncoder();
const byCodePoint = (one: string, other: string) =>
  Buffer.compare(utf8.encode(one), utf8.encode(other));

export function snapshotIdOf(manifest: Readonly<Record<string, string>>): string {
  const entries = Object.entries(manifest).map(([path, id]) => `${path}\0${id}`);
  return sha256(entries.sort(byCodePoint).join("\0"));
}

export function commitIdOf(commit: Omit<MuseCommit, "commit_id">): string {
  const parents = parentsOf(commit).sort().join("\0");
  return sha256([parents, commit.snapshot_id, commit.message, commit.committed_at].join("\0"));
}

export function parentsOf(commit: Omit<MuseCommit, "commit_id">): string[] {
  return [commit.parent_commit_id, commit.parent2_commit_id].filter((id) =>
    id !== null
  ) as string[];
}

/** Commits, snapshots, contents and branches of one client. */
export class MuseRepo {
  readonly commits = new Map<string, MuseCommit>();
  readonly snapshots = new Map<string, MuseSnapshot>();
  readonly contents = new Map<string, Uint8Array>();
  readonly branches = new Map<string, string>();
  /** Heads of the remote, as last seen. */
  readonly tracked = new Map<string, string>();
  static #seconds = 0;

  /** Commits files onto a branch, over its head or the given parents; returns the commit's id. */
  commit(
    branch: string,
    files: Files,
    { parents, message = "a commit", extra = {} }: {
      readonly parents?: readonly string[];
      readonly message?: string;
      readonly extra?: Readonly<Record<string, unknown>>;
    } = {},
  ): string {
    const manifest: Record<string, string> = {};
    for (const [path, file] of Object.entries(files)) {
      const content = typeof file === "string" ? utf8.encode(file) : file;
      const id = sha256(content);
      this.contents.set(id, content);
      manifest[path] = id;
    }
    const time = new Date(Date.UTC(2026, 2, 24, 0, 0, MuseRepo.#seconds++)).toISOString();
    const at = time.replace(".000Z", "+00:00"), snapshot_id = snapshotIdOf(manifest);
    if (!this.snapshots.has(snapshot_id)) {
      this.snapshots.set(snapshot_id, { snapshot_id, manifest, created_at: at });
    }
    const head = this.branches.get(branch);
    const [first = null, second = null] = parents ?? (head === undefined ? [] : [head]);
    const fields = {
      repo_id: "d437f369-cd54-4609-97d3-2e56780f24ca",
      branch,
      snapshot_id,
      message,
      committed_at: at,
      parent_commit_id: first,
      parent2_commit_id: second,
      author: "Ada",
      metadata: {},
      structured_delta: { domain: "code", ops: [], summary: "" },
      sem_ver_bump: "none",
      breaking_changes: [],
      agent_id: "",
      model_id: "",
      toolchain_id: "",
      prompt_hash: "",
      signature: "",
      signer_key_id: "",
      format_version: 5,
      reviewed_by: [],
      test_runs: 0,
      ...extra,
    };
    const commit_id = commitIdOf(fields);
    this.commits.set(commit_id, { commit_id, ...fields });
    this.branches.set(branch, commit_id);
    return commit_id;
  }

  /** The files of a commit. */
  files(commitId: string): Record<string, Uint8Array> {
    const { manifest } = this.snapshots.get(this.commits.get(commitId)!.snapshot_id)!;
    return Object.fromEntries(
      Object.entries(manifest).map(([path, id]) => {
        const content = this.contents.get(id);
        assert.ok(content, `${path} is not here`);
        return [path, content];
      }),
    );
  }

  /** Commits reached from `head`, breadth first over both parents, not beyond `have`. */
  walk(head: string, have: ReadonlySet<string>): MuseCommit[] {
    const found = new Map<string, MuseCommit>(), queue = [head];
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      const commit = this.commits.get(id);
      if (commit === undefined || found.has(id) || have.has(id)) continue;
      found.set(id, commit);
      queue.push(...parentsOf(commit));
    }
    return [...found.values()];
  }

  isAncestor(commitId: string, of: string): boolean {
    return this.walk(of, new Set()).some(({ commit_id }) => commit_id === commitId);
  }

  /** Keeps what came, as a careful client does: every id must be right, nothing may be missing. */
  apply({ commits, snapshots, objects }: Bundle): void {
    for (const { object_id, content } of objects) {
      assert.equal(sha256(content), object_id);
      this.contents.set(object_id, content);
    }
    for (const snapshot of snapshots) {
      assert.equal(snapshotIdOf(snapshot.manifest), snapshot.snapshot_id);
      for (const id of Object.values(snapshot.manifest)) assert.ok(this.contents.has(id), id);
      this.snapshots.set(snapshot.snapshot_id, snapshot);
    }
    for (const commit of commits) {
      assert.equal(commitIdOf(commit), commit.commit_id);
      assert.ok(this.snapshots.has(commit.snapshot_id));
      this.commits.set(commit.commit_id, commit);
    }
    for (const commit of commits) {
      for (const parent of parentsOf(commit)) assert.ok(this.commits.has(parent), parent);
    }
  }
}
