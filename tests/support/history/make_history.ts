/**
 * Makes histories as clients make them: commits with right ids, their snapshots and files, and packs
 * of any part of them.
 *
 * @module
 */

import { createHash } from "node:crypto";
import {
  buildMpack,
  bytesOf,
  header,
  map,
  mpackKey,
  type Raw,
  type Value,
} from "../mpack/mpacks.ts";

const UTF8 = new TextEncoder();

/** Files of a working folder: their contents by path. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

/** What to commit. */
export interface CommitPart {
  /** Default: the last commit made; `[]` for a root. */
  readonly parents?: readonly string[];
  /** Default: none. */
  readonly files?: Files;
  readonly message?: string;
  readonly author?: string;
  /** Default: a minute after the last one. */
  readonly at?: string;
  /** Fields of the record beyond the usual ones. */
  readonly extra?: Readonly<Record<string, Value>>;
}

/** One commit of a made history. */
export interface MadeCommit {
  readonly commitId: string;
  readonly parentIds: readonly string[];
  readonly snapshotId: string;
  readonly author: string;
  readonly committedAt: string;
  readonly message: string;
  readonly record: Raw;
}

/** One snapshot of a made history: object ids by path, in the order of the record. */
export interface MadeSnapshot {
  readonly snapshotId: string;
  readonly manifest: ReadonlyMap<string, string>;
}

/** What to put into a pack. */
export interface PackPart {
  /** Default: all. Their snapshots come with them. */
  readonly commits?: readonly string[];
  /** Default: all objects that their snapshots name. */
  readonly objects?: readonly string[];
  /** Write each snapshot as a delta to the one before, as clients of May 2026 do. */
  readonly isDelta?: boolean;
  /** Sections to add. */
  readonly extra?: Readonly<Record<string, Value>>;
}

function sha256Hex(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}

function bare(id: string): string {
  return id.replace(/^sha256:/, "");
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(UTF8.encode(one), UTF8.encode(other));
}

/** The id of a snapshot by the rule of the protocol, without its prefix. */
export function snapshotDigest(manifest: ReadonlyMap<string, string>): string {
  const entries = [...manifest].map(([path, id]) => `${path}\0${bare(id)}`);
  return sha256Hex(entries.sort(byBytes).join("\0"));
}

/** A history that grows commit by commit. */
export class MadeHistory {
  readonly commits = new Map<string, MadeCommit>();
  readonly snapshots = new Map<string, MadeSnapshot>();
  readonly contents = new Map<string, Uint8Array>();
  readonly #prefix: string;
  #minutes = 0;
  #last: string | undefined;

  constructor({ isBare = false }: { readonly isBare?: boolean } = {}) {
    this.#prefix = isBare ? "" : "sha256:";
  }

  /** Adds a commit; returns its id. */
  commit(part: CommitPart = {}): string {
    const { files = {}, message = `commit ${this.commits.size + 1}`, author = "ada" } = part;
    const parentIds = part.parents ?? (this.#last === undefined ? [] : [this.#last]);
    const committedAt = part.at ??
      new Date(Date.UTC(2026, 10, 1, 0, this.#minutes++)).toISOString()
        .replace(/\.\d+Z/, ".000000+00:00");
    const snapshotId = this.snapshot(files);
    const parents = parentIds.map(bare).sort().join("\0");
    const digest = sha256Hex([parents, bare(snapshotId), message, committedAt].join("\0"));
    const commitId = this.#prefix + digest;
    const record = map(Object.entries<Value>({
      commit_id: commitId,
      repo_id: "0b9a639e-9d67-4507-bc8d-574a0140fabc",
      branch: "main",
      snapshot_id: snapshotId,
      message,
      committed_at: committedAt,
      parent_commit_id: parentIds[0] ?? null,
      parent2_commit_id: parentIds[1] ?? null,
      author,
      metadata: {},
      structured_delta: null,
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
      ...part.extra,
    }));
    const made = { commitId, parentIds, snapshotId, author, committedAt, message, record };
    this.commits.set(commitId, made);
    return this.#last = commitId;
  }

  /** Adds a snapshot; returns its id. */
  snapshot(files: Files): string {
    const manifest = new Map<string, string>();
    for (const [path, text] of Object.entries(files)) {
      const content = typeof text === "string" ? UTF8.encode(text) : text;
      const objectId = this.#prefix + sha256Hex(content);
      this.contents.set(objectId, content);
      manifest.set(path, objectId);
    }
    const snapshotId = this.#prefix + snapshotDigest(manifest);
    if (!this.snapshots.has(snapshotId)) this.snapshots.set(snapshotId, { snapshotId, manifest });
    return snapshotId;
  }

  /** The commits reached from one, itself first. */
  reachable(head: string): string[] {
    const found = new Set([head]);
    for (const id of found) {
      for (const parent of this.commits.get(id)?.parentIds ?? []) found.add(parent);
    }
    return [...found];
  }

  /** The ids of the objects that the snapshots of these commits name, sorted. */
  objectsOf(commits: Iterable<string>): string[] {
    const found = new Set<string>();
    for (const id of commits) {
      const { snapshotId } = this.commits.get(id)!;
      for (const objectId of this.snapshots.get(snapshotId)!.manifest.values()) found.add(objectId);
    }
    return [...found].sort();
  }

  /** A pack. Commits come children first; snapshots as deltas come parents first. */
  pack(part: PackPart = {}): MadePack {
    const ids = new Set(part.commits ?? this.commits.keys());
    const commits = [...this.commits.values()].filter(({ commitId }) => ids.has(commitId));
    const snapshotIds = [...new Set(commits.map(({ snapshotId }) => snapshotId))];
    const snapshots = snapshotIds.map((id) => this.snapshots.get(id)!);
    if (part.isDelta !== true) snapshots.sort((a, b) => byBytes(a.snapshotId, b.snapshotId));
    const objectIds = part.objects ?? this.objectsOf(ids);
    return new MadePack(
      [...commits].reverse(),
      snapshots.map((snapshot, i) => ({
        snapshot,
        parent: part.isDelta === true ? snapshots[i - 1] : undefined,
      })),
      objectIds.map((objectId) =>
        map([["object_id", objectId], ["content", this.contents.get(objectId)!]])
      ),
      part.extra ?? {},
    );
  }
}

interface PlacedSnapshot {
  readonly snapshot: MadeSnapshot;
  readonly parent?: MadeSnapshot;
}

/** A pack, and where its records lie. */
export class MadePack {
  readonly bytes: Uint8Array;
  readonly mpackKey: string;
  readonly places = new Map<string, { readonly offsetBytes: number; readonly sizeBytes: number }>();

  constructor(
    readonly commits: readonly MadeCommit[],
    readonly snapshots: readonly PlacedSnapshot[],
    objects: readonly Raw[],
    extra: Readonly<Record<string, Value>>,
  ) {
    const records = commits.map(({ record }) => record);
    const manifests = snapshots.map(recordOf);
    const sections = { commits: records, snapshots: manifests, objects, ...extra };
    this.bytes = buildMpack(sections);
    this.mpackKey = mpackKey(this.bytes);
    const name = (text: string) => bytesOf(text).length;
    const array = (length: number) => header("array", length).bytes.length;
    let at = header("map", Object.keys(sections).length).bytes.length;
    at += name("commits") + array(records.length);
    const place = (id: string, { bytes }: Raw) => {
      this.places.set(id, { offsetBytes: at, sizeBytes: bytes.length });
      at += bytes.length;
    };
    commits.forEach(({ commitId }, i) => place(commitId, records[i]));
    at += name("snapshots") + array(manifests.length);
    snapshots.forEach(({ snapshot }, i) => place(snapshot.snapshotId, manifests[i]));
  }
}

function recordOf({ snapshot, parent }: PlacedSnapshot): Raw {
  const { snapshotId, manifest } = snapshot;
  const created: [Value, Value] = ["created_at", "2026-11-01T00:00:00+00:00"];
  if (parent === undefined) {
    return map([["snapshot_id", snapshotId], ["manifest", manifest], created]);
  }
  const add = [...manifest].filter(([path, id]) => parent.manifest.get(path) !== id);
  const remove = [...parent.manifest.keys()].filter((path) => !manifest.has(path));
  return map([
    ["snapshot_id", snapshotId],
    ["parent_snapshot_id", parent.snapshotId],
    ["delta_add", new Map(add)],
    ["delta_remove", remove],
    created,
  ]);
}
