/**
 * The oracle: what a strict reader that has the whole pack in memory makes of it.
 *
 * docs/format.md has the rules. This file applies them as plainly as they can be written, by
 * recursion over one byte array, and shares nothing with the streaming decoder: where the two
 * disagree, one of them is wrong.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { MpackErrorCode } from "../../../src/errors.ts";
import { type Header, readHeader } from "./msgpack_header.ts";
import { Rejection } from "./rejection.ts";
import { WholeHistory, type WholeRecords } from "./whole_history.ts";

/** One object of an accepted pack. */
export interface WholeRow {
  /** The id as the pack has it. */
  readonly objectId: string;
  /** First byte of the content. */
  readonly contentOffset: number;
  /** Length of the content in bytes. */
  readonly sizeBytes: number;
  /** How the content is encoded, if it is. */
  readonly encoding?: "zstd";
}

/** What the reader found. */
export type Verdict =
  | {
    readonly accepted: true;
    readonly rows: readonly WholeRow[];
    readonly commits: number;
    readonly snapshots: number;
    readonly objects: number;
    readonly tags: number;
    /** Only if history is read. */
    readonly records?: WholeRecords;
  }
  | { readonly accepted: false; readonly code: MpackErrorCode; readonly offsetBytes: number };

/** The limits that the reader holds a pack to; docs/format.md says what each one counts. */
export type WholeLimits = Record<
  | "maxPackBytes"
  | "maxObjects"
  | "maxContentBytes"
  | "maxDepth"
  | "maxKeyBytes"
  | "maxKeys"
  | "maxValueBytes"
  | "maxNodes"
  | "maxOpenKeys"
  | "maxCommits"
  | "maxSnapshots"
  | "maxMessageBytes"
  | "maxAnnotationBytes"
  | "maxPathBytes"
  | "maxUnsortedManifestBytes"
  | "maxManifestBytes",
  number
>;

const DEFAULT_LIMITS: WholeLimits = Object.freeze({
  maxPackBytes: 64 * 1024 ** 3,
  maxObjects: 20_000_000,
  maxContentBytes: 4 * 1024 ** 3,
  maxDepth: 64,
  maxKeyBytes: 1024,
  maxKeys: 64,
  maxValueBytes: 64 * 1024 ** 2,
  maxNodes: 50_000_000,
  maxOpenKeys: 2_000_000,
  maxCommits: 1_000_000,
  maxSnapshots: 1_000_000,
  maxMessageBytes: 1024 ** 2,
  maxAnnotationBytes: 256 * 1024,
  maxPathBytes: 4096,
  maxUnsortedManifestBytes: 16 * 1024 ** 2,
  maxManifestBytes: 32 * 1024 ** 2,
});

/** Reads a whole pack, and says either what is in it or what is wrong first. */
export function readWhole(
  bytes: Uint8Array,
  limits: Partial<WholeLimits> = {},
  { history = false }: { readonly history?: boolean } = {},
): Verdict {
  const { maxPackBytes } = { ...DEFAULT_LIMITS, ...limits };
  if (bytes.length > maxPackBytes) {
    // What is wrong with the bytes that are allowed goes first, unless they only end too early.
    const verdict = readWhole(bytes.subarray(0, maxPackBytes), limits, { history });
    const isWrong = !verdict.accepted && verdict.code !== "truncated";
    return isWrong
      ? verdict
      : { accepted: false, code: "limit-exceeded", offsetBytes: maxPackBytes };
  }
  try {
    return new WholeReader(bytes, { ...DEFAULT_LIMITS, ...limits }, history).document();
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    return { accepted: false, code: error.code, offsetBytes: error.offsetBytes };
  }
}

/** The keys of one open map, as strings that differ exactly if the keys do. */
type Keys = Set<string>;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const OBJECT_ID = /^(sha256:)?[0-9a-f]{64}$/;

/** @internal Reads one pack. */
export class WholeReader {
  readonly limits: WholeLimits;
  readonly #bytes: Uint8Array;
  readonly #history: WholeHistory | undefined;
  readonly #counts = { commits: 0, snapshots: 0, objects: 0, tags: 0 };
  readonly #rows: WholeRow[] = [];
  #at = 0;
  #depth = 0;
  #nodes = 0;
  #openKeys = 0;

  constructor(bytes: Uint8Array, limits: WholeLimits, history: boolean) {
    this.#bytes = bytes;
    this.limits = limits;
    this.#history = history ? new WholeHistory(this) : undefined;
  }

  /** Where the next value begins. */
  get at(): number {
    return this.#at;
  }

  document(): Verdict {
    const top = this.header();
    this.require(top.family === "map", "unexpected-shape", top);
    this.map(top, (keys) => this.#section(this.#fieldKey(keys)));
    if (this.#at < this.#bytes.length) throw new Rejection("trailing-bytes", this.#at);
    const records = this.#history && { records: this.#history.records };
    return { accepted: true, rows: this.#rows, ...this.#counts, ...records };
  }

  #section(name: string): void {
    switch (name) {
      case "objects":
        return this.#elements((element) => this.#object(element));
      case "commits":
      case "snapshots":
      case "tags":
        return this.#elements((element) => {
          this.require(element.family === "map", "unexpected-shape", element);
          const count = ++this.#counts[name];
          if (this.#history) this.#history.record(name, element, count);
          else this.skip(element);
        });
      case "branch_heads":
        if (this.#history) return this.#history.branchHeads(this.header());
        return this.skip(this.header());
      default:
        return this.skip(this.header());
    }
  }

  #elements(read: (element: Header) => void): void {
    const section = this.header();
    if (section.family === "nil") return;
    this.require(section.family === "array", "unexpected-shape", section);
    this.array(section, () => read(this.header()));
  }

  #object(object: Header): void {
    this.require(object.family === "map", "unexpected-shape", object);
    this.limit(this.#counts.objects + 1, "maxObjects", object);
    let objectId: string | undefined;
    let content: Header | undefined;
    let encoding: "zstd" | undefined;
    this.map(object, (keys) => {
      const key = this.#fieldKey(keys);
      if (key === "object_id") objectId = this.objectId();
      else if (key === "content") content = this.#content();
      else if (key === "encoding") encoding = this.#encoding();
      else this.skip(this.header());
    });
    if (objectId === undefined) throw new Rejection("bad-object-id", object.offsetBytes);
    if (content === undefined) throw new Rejection("bad-content", object.offsetBytes);
    this.#counts.objects++;
    const { bodyOffsetBytes: contentOffset, length: sizeBytes } = content;
    this.#rows.push({ objectId, contentOffset, sizeBytes, ...(encoding && { encoding }) });
  }

  objectId(isNode = false): string {
    const value = this.header();
    const isLength = value.length === 64 || value.length === 71;
    this.require(value.family === "str" && isLength, "bad-object-id", value);
    if (isNode) this.countNode(value);
    const text = latin1(this.body(value));
    this.require(OBJECT_ID.test(text), "bad-object-id", value);
    return text;
  }

  #encoding(): "zstd" | undefined {
    const value = this.header();
    if (value.family === "nil") {
      this.skip(value);
      return undefined;
    }
    // The error shows a short name, so all of it has to be there.
    if (value.family === "str" && value.length <= 32) {
      if (latin1(this.body(value)) === "zstd") return "zstd";
    }
    throw new Rejection("unsupported-encoding", value.offsetBytes);
  }

  #content(): Header {
    const value = this.header();
    this.require(value.family === "bin", "bad-content", value);
    this.limit(value.length, "maxContentBytes", value);
    this.body(value);
    return value;
  }

  /** Reads a key of the top map or of an object. */
  #fieldKey(keys: Keys): string {
    const key = this.header();
    this.require(key.family === "str", "unexpected-shape", key);
    this.limit(key.length, "maxKeyBytes", key);
    this.limit(keys.size + 1, "maxKeys", key);
    const body = this.body(key);
    this.addKey(keys, key, body);
    try {
      return UTF8.decode(body);
    } catch {
      throw new Rejection("malformed-msgpack", key.offsetBytes);
    }
  }

  /** Reads past a value that has no meaning here but must be valid. */
  skip(value: Header): void {
    this.countNode(value);
    switch (value.family) {
      case "array":
        return this.array(value, () => this.skip(this.header()));
      case "map":
        return this.map(value, (keys) => {
          this.skipKey(keys);
          this.skip(this.header());
        });
      case "never":
        throw new Rejection("malformed-msgpack", value.offsetBytes);
      default:
        this.limit(value.length, "maxValueBytes", value);
        this.body(value);
    }
  }

  /** Reads a key that may be any scalar; returns it if it is a text. */
  skipKey(keys: Keys): string | undefined {
    const key = this.header();
    const isContainer = key.family === "array" || key.family === "map";
    this.require(!isContainer, "unexpected-shape", key);
    this.require(key.family !== "never", "malformed-msgpack", key);
    this.countNode(key);
    this.limit(key.length, "maxValueBytes", key);
    const body = this.body(key);
    this.addKey(keys, key, body);
    return key.family === "str" ? latin1(body) : undefined;
  }

  addKey(keys: Keys, key: Header, body: Uint8Array): void {
    const name = `${key.family} ${key.value} ${latin1(body)}`;
    this.require(!keys.has(name), "duplicate-key", key);
    keys.add(name);
    this.limit(++this.#openKeys, "maxOpenKeys", key);
  }

  array(array: Header, readElement: () => void): void {
    this.limit(++this.#depth, "maxDepth", array);
    for (let i = 0; i < array.length; i++) readElement();
    this.#depth--;
  }

  map(map: Header, readPair: (keys: Keys) => void): void {
    this.limit(++this.#depth, "maxDepth", map);
    const keys: Keys = new Set();
    for (let i = 0; i < map.length; i++) readPair(keys);
    this.#openKeys -= keys.size;
    this.#depth--;
  }

  header(): Header {
    const header = readHeader(this.#bytes, this.#at);
    if (header === undefined) throw new Rejection("truncated", this.#bytes.length);
    this.#at = header.bodyOffsetBytes;
    return header;
  }

  body(value: Header): Uint8Array {
    const endOffset = value.bodyOffsetBytes + value.length;
    if (endOffset > this.#bytes.length) throw new Rejection("truncated", this.#bytes.length);
    this.#at = endOffset;
    return this.#bytes.subarray(value.bodyOffsetBytes, endOffset);
  }

  countNode(value: Header): void {
    this.limit(++this.#nodes, "maxNodes", value);
  }

  limit(found: number, limit: keyof WholeLimits, value: Header): void {
    this.require(found <= this.limits[limit], "limit-exceeded", value);
  }

  require(isSound: boolean, code: MpackErrorCode, value: Header): void {
    if (!isSound) throw new Rejection(code, value.offsetBytes);
  }
}

/** One character for each byte. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
