/**
 * Commits, snapshots and tags with the keys, nesting, formats and ids of real packs.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { ObjectIds } from "./ids.ts";
import type { MpackShape } from "./shape.ts";

const UTF8 = new TextEncoder();
const NUL = new Uint8Array(1);

const EPOCH_MS = Date.UTC(2026, 0, 1);
const AUTHORS = ["ada", "grace", "edsger"];

/** One line of history over a pack's objects; records are made when asked for. */
export class History {
  readonly #shape: MpackShape;
  readonly #objectIds: ObjectIds;
  readonly #repoId: string;
  /** Digests, computed when first asked for. */
  readonly #snapshots: string[] = [];
  readonly #commits: string[] = [];

  /** Prepares the records for a shape. */
  constructor(shape: MpackShape, objectIds: ObjectIds) {
    this.#shape = shape;
    this.#objectIds = objectIds;
    this.#repoId = this.#uuid("repo");
  }

  /** Commit `index`, 0 being the oldest, with all 22 keys. */
  commit(index: number): Record<string, unknown> {
    const isRoot = index === 0;
    return {
      commit_id: this.commitId(index),
      repo_id: this.#repoId,
      branch: "main",
      snapshot_id: this.#named(this.#snapshotOf(index)),
      message: message(index),
      committed_at: time(index),
      parent_commit_id: isRoot ? null : this.commitId(index - 1),
      parent2_commit_id: null,
      author: AUTHORS[index % AUTHORS.length],
      metadata: index % 5 === 0 ? { ticket: `T-${index}` } : {},
      structured_delta: isRoot ? null : this.#delta(index),
      sem_ver_bump: isRoot ? "none" : "minor",
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
    };
  }

  /** Tag `index`, spread over the commits. */
  tag(index: number): Record<string, unknown> {
    return {
      tag_id: this.#uuid(`tag ${index}`),
      repo_id: this.#repoId,
      commit_id: this.commitId(index % Math.max(1, this.#shape.commits)),
      tag: `v0.${index}.0`,
      created_at: time(index),
    };
  }

  /** Which branch ends at which commit. */
  branchHeads(): Record<string, string> {
    return this.#shape.commits === 0 ? {} : { main: this.commitId(this.#shape.commits - 1) };
  }

  /** The snapshots' numbers in the order of their ids, as real packs have them. */
  snapshotOrder(): number[] {
    return Array.from({ length: this.#shape.snapshots }, (_, index) => index)
      .map((index) => ({ index, id: this.snapshotId(index) }))
      .sort((a, b) => a.id < b.id ? -1 : 1)
      .map(({ index }) => index);
  }

  /** The id of snapshot `index`. */
  snapshotId(index: number): string {
    return this.#named(this.#snapshotDigest(index));
  }

  /** When snapshot `index` was taken. */
  snapshotTime(index: number): string {
    return time(index);
  }

  /** The objects that snapshot `index` names: a window that moves over all of them. */
  manifestWindow(index: number): { first: number; count: number } {
    const { objects, known, paths, snapshots } = this.#shape;
    const total = objects + known;
    const count = Math.min(paths, total);
    const step = (total - count) / Math.max(1, snapshots - 1);
    return { first: Math.floor(step * index), count };
  }

  /** The objects of snapshot `index` in the order of its manifest. */
  *manifest(index: number): Generator<number> {
    const { first, count } = this.manifestWindow(index);
    // Coprime to the count, because 31 is a prime, so each is reached once.
    const step = this.#shape.shuffled && count % 31 !== 0 ? 31 : 1;
    for (let i = 0; i < count; i++) yield first + (i * step) % count;
  }

  /** The path at which object `index` lies in every manifest; a greater index, a greater path. */
  path(index: number): string {
    const number = String(index).padStart(8, "0");
    return `src/m${number.slice(0, 6)}/file_${number}.txt`;
  }

  /** The id of commit `index`. */
  commitId(index: number): string {
    for (let next = this.#commits.length; next <= index; next++) {
      const parent = next === 0 ? "" : this.#commits[next - 1];
      const fields = [parent, this.#snapshotOf(next), message(next), time(next)];
      this.#commits.push(createHash("sha256").update(fields.join("\0")).digest("hex"));
    }
    return this.#named(this.#commits[index]);
  }

  /** The digest of the snapshot of commit `index`: without any snapshot, of one elsewhere. */
  #snapshotOf(index: number): string {
    const { snapshots } = this.#shape;
    if (snapshots === 0) return this.#hex("snapshot elsewhere");
    return this.#snapshotDigest(Math.min(index, snapshots - 1));
  }

  #snapshotDigest(index: number): string {
    return this.#snapshots[index] ??= this.#hashManifest(index);
  }

  #hashManifest(index: number): string {
    const { first, count } = this.manifestWindow(index), hash = createHash("sha256");
    for (let object = first; object < first + count; object++) {
      if (object > first) hash.update(NUL);
      hash.update(UTF8.encode(`${this.path(object)}\0`));
      hash.update(this.#objectIds.text(object).subarray(-64));
    }
    return hash.digest("hex");
  }

  /** Reaches eight containers deep, the deepest that real packs were seen to go. */
  #delta(index: number): Record<string, unknown> {
    const address = this.path(index);
    const childOps = [{
      op: "insert",
      address: `${address}::f${index}`,
      position: null,
      content_id: this.#named(this.#hex(`symbol ${index}`)),
      content_summary: `added function f${index}`,
    }];
    return {
      domain: "code",
      ops: [{ op: "patch", address, child_ops: childOps, child_domain: "code", child_summary: "" }],
      summary: "1 symbol added",
      sem_ver_bump: "minor",
      breaking_changes: [],
    };
  }

  #named(digest: string): string {
    return (this.#shape.bare ? "" : "sha256:") + digest;
  }

  #uuid(label: string): string {
    return this.#hex(label).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
  }

  #hex(label: string): string {
    return createHash("sha256").update(`${this.#shape.seed} ${label}`).digest("hex");
  }
}

function message(index: number): string {
  return `step ${index}`;
}

function time(second: number): string {
  return new Date(EPOCH_MS + second * 1000).toISOString().replace("Z", "000+00:00");
}
