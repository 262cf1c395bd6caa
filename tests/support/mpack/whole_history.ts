/**
 * The oracle's part for records: commits, snapshots, tags and the heads of branches.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type {
  BranchHead,
  CommitRecord,
  SnapshotRecord,
  TagRecord,
} from "../../../src/lib/records.ts";
import type { MpackErrorCode } from "../../../src/errors.ts";
import type { Header } from "./msgpack_header.ts";
import type { WholeLimits, WholeReader } from "./whole_document.ts";
import { Rejection } from "./rejection.ts";

/** The records of an accepted pack. */
export interface WholeRecords {
  readonly commits: CommitRecord[];
  readonly snapshots: SnapshotRecord[];
  readonly tags: TagRecord[];
  readonly branchHeads: BranchHead[];
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ID = /^(sha256:)?[0-9a-f]{64}$/;
const bare = (id: string) => id.slice(-64);
const sha256 = (text: string | Uint8Array) => createHash("sha256").update(text).digest("hex");

/** The fields of one record so far. */
type Fields = Map<string, unknown>;
/** Reads the value of a field. */
type Read = (value: Header) => unknown;

interface Entry {
  readonly path: Buffer;
  readonly id: string;
}

/** Reads records; `reader` stands behind the header of each value that is given. */
export class WholeHistory {
  readonly records: WholeRecords = { commits: [], snapshots: [], tags: [], branchHeads: [] };
  readonly #reader: WholeReader;
  #annotationBytes = 0;
  #manifestBytes = 0;
  #removedBytes = 0;

  constructor(reader: WholeReader) {
    this.#reader = reader;
  }

  record(kind: "commits" | "snapshots" | "tags", map: Header, count: number): void {
    const reader = this.#reader;
    reader.countNode(map);
    if (kind === "commits") reader.limit(count, "maxCommits", map);
    if (kind === "snapshots") reader.limit(count, "maxSnapshots", map);
    this.#annotationBytes = this.#manifestBytes = this.#removedBytes = 0;
    const fields: Fields = new Map();
    reader.map(map, (keys) => {
      const key = reader.skipKey(keys);
      const read = key === undefined ? undefined : this.#fields[kind][key];
      const value = reader.header();
      if (read === undefined) return reader.skip(value);
      const found = read(value);
      if (found !== undefined) fields.set(key!, found);
    });
    const place = { offsetBytes: map.offsetBytes, sizeBytes: reader.at - map.offsetBytes };
    this.#ends[kind](fields, map, place);
  }

  branchHeads(map: Header): void {
    const reader = this.#reader;
    if (map.family === "nil") return reader.skip(map);
    reader.require(map.family === "map", "unexpected-shape", map);
    reader.countNode(map);
    reader.map(map, (keys) => {
      const key = reader.header();
      const name = this.#text(key, "maxKeyBytes", (body) => reader.addKey(keys, key, body));
      const commitId = this.#idOrNil(reader.header());
      if (commitId !== undefined) this.records.branchHeads.push({ name, commitId });
    });
  }

  readonly #idOrNil = (value: Header): string | undefined =>
    value.family === "nil" ? void this.#reader.skip(value) : this.#id(value);
  readonly #short: Read = (value) => this.#textOrNil(value, "maxKeyBytes");
  readonly #message: Read = (value) => this.#textOrNil(value, "maxMessageBytes");
  readonly #fields: Record<string, Record<string, Read>> = {
    commits: {
      __proto__: null as never,
      commit_id: (value) => this.#id(value),
      snapshot_id: (value) => this.#id(value),
      parent_commit_id: this.#idOrNil,
      parent2_commit_id: this.#idOrNil,
      message: this.#message,
      author: this.#short,
      committed_at: this.#short,
      signer_public_key: this.#short,
      metadata: (value) => this.#metadata(value),
      reviewed_by: (value) =>
        this.#list(value, (text) => this.#annotation(text, (): void => undefined)),
      test_runs: (value) => this.#testRuns(value),
    },
    snapshots: {
      __proto__: null as never,
      snapshot_id: (value) => this.#id(value),
      parent_snapshot_id: this.#idOrNil,
      manifest: (value) => this.#manifest(value),
      delta_add: (value) => this.#manifest(value),
      delta_remove: (value) => this.#list(value, (path) => this.#removed(path)),
      directories: (value) => this.#directories(value),
    },
    tags: {
      __proto__: null as never,
      commit_id: (value) => this.#id(value),
      tag: this.#short,
      tag_id: this.#short,
      created_at: this.#short,
    },
  };

  readonly #ends: Record<
    string,
    (fields: Fields, map: Header, place: { offsetBytes: number; sizeBytes: number }) => void
  > = {
    commits: (fields, map, place) => {
      this.#requireAll(fields, map, "commit_id", "snapshot_id");
      const text = (name: string) => (fields.get(name) ?? "") as string;
      const parentIds = ["parent_commit_id", "parent2_commit_id"].flatMap((name) =>
        fields.has(name) ? [text(name)] : []
      );
      const start = [parentIds.map(bare).sort().join("\0"), bare(text("snapshot_id"))];
      const [message, time, author] = ["message", "committed_at", "author"].map(text);
      const rules = [[time], [author], [time, author, text("signer_public_key")]];
      const isTrue = rules.some((rule) =>
        sha256([...start, message, ...rule].join("\0")) === bare(text("commit_id"))
      );
      this.#reader.require(isTrue, "false-id", map);
      this.records.commits.push({
        ...place,
        commitId: text("commit_id"),
        parentIds,
        snapshotId: text("snapshot_id"),
        author,
        committedAt: time,
        message,
        metadata: (fields.get("metadata") ?? {}) as Record<string, string>,
        reviewedBy: (fields.get("reviewed_by") ?? []) as string[],
        testRuns: (fields.get("test_runs") ?? 0) as number,
      });
    },
    snapshots: (fields, map, place) => {
      this.#requireAll(fields, map, "snapshot_id");
      const reader = this.#reader, snapshotId = fields.get("snapshot_id") as string;
      const manifest = fields.get("manifest") as Entry[] | undefined;
      const add = fields.get("delta_add") as Entry[] | undefined;
      const remove = fields.get("delta_remove") as string[] | undefined;
      const parent = (fields.get("parent_snapshot_id") ?? null) as string | null;
      const isDelta = add !== undefined || remove !== undefined;
      reader.require(
        manifest !== undefined || isDelta || parent !== null,
        "unexpected-shape",
        map,
      );
      const deltaPaths = (add?.length ?? 0) + (remove?.length ?? 0);
      reader.require(manifest === undefined || deltaPaths === 0, "unexpected-shape", map);
      const parentSnapshotId = manifest === undefined ? parent : null;
      const isVerifiable = !fields.get("directories");
      const entries = manifest ?? add ?? [];
      if (isVerifiable && parentSnapshotId === null) {
        const sorted = entries.toSorted((a, b) => Buffer.compare(a.path, b.path))
          .map(({ path, id }) => Buffer.concat([path, Buffer.from(`\0${bare(id)}`)]));
        const parts = sorted.flatMap((entry, i) => i === 0 ? [entry] : [Buffer.alloc(1), entry]);
        reader.require(sha256(Buffer.concat(parts)) === bare(snapshotId), "false-id", map);
      }
      if (parentSnapshotId !== null) reader.limit(this.#manifestBytes, "maxManifestBytes", map);
      this.records.snapshots.push({
        ...place,
        snapshotId,
        entries: entries.length,
        parentSnapshotId,
        isVerifiable,
      });
    },
    tags: (fields, map) => {
      this.#requireAll(fields, map, "commit_id");
      const text = (name: string) => (fields.get(name) ?? "") as string;
      const tag = text("tag");
      this.#reader.require(tag.length >= 1 && tag.length <= 500, "bad-text", map);
      const [tagId, commitId, createdAt] = ["tag_id", "commit_id", "created_at"].map(text);
      this.records.tags.push({ tagId, tag, commitId, createdAt });
    },
  };

  #requireAll(fields: Fields, map: Header, ...names: string[]): void {
    for (const name of names) this.#reader.require(fields.has(name), "bad-record-id", map);
  }

  #id(value: Header): string {
    const reader = this.#reader;
    const isLength = value.length === 64 || value.length === 71;
    reader.require(value.family === "str" && isLength, "bad-record-id", value);
    reader.countNode(value);
    const text = Buffer.from(reader.body(value)).toString("latin1");
    reader.require(ID.test(text), "bad-record-id", value);
    return text;
  }

  #textOrNil(value: Header, limit: keyof WholeLimits): string | undefined {
    if (value.family === "nil") return void this.#reader.skip(value);
    return this.#text(value, limit);
  }

  #text(value: Header, limit: keyof WholeLimits, then = (_: Uint8Array) => {}): string {
    const reader = this.#reader;
    reader.require(value.family === "str", "unexpected-shape", value);
    reader.countNode(value);
    reader.limit(value.length, limit, value);
    const body = reader.body(value);
    then(body);
    return textOf(body, value);
  }

  #annotation(value: Header, then: (body: Uint8Array) => void): string {
    const reader = this.#reader;
    reader.require(value.family === "str", "unexpected-shape", value);
    reader.countNode(value);
    reader.limit(this.#annotationBytes += value.length, "maxAnnotationBytes", value);
    const body = reader.body(value);
    then(body);
    return textOf(body, value);
  }

  #metadata(map: Header): Record<string, string> | undefined {
    const reader = this.#reader;
    if (map.family === "nil") return void reader.skip(map);
    reader.require(map.family === "map", "unexpected-shape", map);
    reader.countNode(map);
    const pairs: [string, string][] = [];
    reader.map(map, (keys) => {
      const key = reader.header();
      const name = this.#annotation(key, (body) => reader.addKey(keys, key, body));
      pairs.push([name, this.#annotation(reader.header(), () => {})]);
    });
    return Object.fromEntries(pairs);
  }

  #list(array: Header, read: (value: Header) => string): string[] | undefined {
    const reader = this.#reader;
    if (array.family === "nil") return void reader.skip(array);
    reader.require(array.family === "array", "unexpected-shape", array);
    reader.countNode(array);
    const texts: string[] = [];
    reader.array(array, () => texts.push(read(reader.header())));
    return texts;
  }

  #testRuns(value: Header): number | undefined {
    const reader = this.#reader;
    if (value.family === "nil") return void reader.skip(value);
    const runs = value.family === "int" ? Number(value.value) : -1;
    reader.require(runs >= 0 && Number.isSafeInteger(runs), "unexpected-shape", value);
    reader.skip(value);
    return runs;
  }

  #directories(value: Header): boolean | undefined {
    const reader = this.#reader;
    if (value.family === "nil") return void reader.skip(value);
    reader.require(value.family === "array", "unexpected-shape", value);
    reader.skip(value);
    return value.length > 0;
  }

  #path(value: Header): Uint8Array {
    const reader = this.#reader;
    reader.require(value.family === "str", "unexpected-shape", value);
    reader.countNode(value);
    reader.limit(value.length, "maxPathBytes", value);
    const body = reader.body(value), text = textOf(body, value);
    const isPath = text.split(/[/\\]/).every((part) =>
      part !== "" && part !== "." && part !== ".."
    );
    reader.require(isPath, "bad-path", value);
    return body;
  }

  #removed(value: Header): string {
    const path = this.#path(value);
    this.#removedBytes += path.length + 1;
    this.#reader.limit(this.#removedBytes, "maxManifestBytes", value);
    return UTF8.decode(path);
  }

  #manifest(map: Header): Entry[] | undefined {
    const reader = this.#reader;
    if (map.family === "nil") return void reader.skip(map);
    reader.require(map.family === "map", "unexpected-shape", map);
    reader.countNode(map);
    const entries: Entry[] = [];
    let isSorted = true, sizeBytes = 0;
    reader.map(map, (keys) => {
      const key = reader.header(), path = Buffer.from(this.#path(key)), last = entries.at(-1);
      if (last && Buffer.compare(last.path, path) >= 0) isSorted = false;
      sizeBytes += path.length + 66;
      if (!isSorted) reader.limit(sizeBytes, "maxUnsortedManifestBytes", key);
      reader.addKey(keys, key, path);
      entries.push({ path, id: reader.objectId(true) });
    });
    // A delta beside a manifest is refused, so only one of them has bytes.
    this.#manifestBytes += sizeBytes;
    return entries;
  }
}

function textOf(body: Uint8Array, value: Header): string {
  const reject = (): never => {
    throw new Rejection("bad-text" satisfies MpackErrorCode, value.offsetBytes);
  };
  let text: string;
  try {
    text = UTF8.decode(body);
  } catch {
    return reject();
  }
  return text.includes("\0") ? reject() : text;
}
