/**
 * The grammar of a pack: which value may stand where.
 *
 * @module
 */

import type { MpackLimits } from "./limits.ts";
import { Containers } from "./containers.ts";
import type { Contents } from "./contents.ts";
import { Body, Field, In } from "./grammar.ts";
import { Keys } from "./keys.ts";
import { HistoryReader } from "./history/history_reader.ts";
import type { RecordHasher } from "../../lib/record_hasher.ts";
import type { ObjectReader } from "./object_reader.ts";
import { encoded, exceeded, unexpected } from "./refusals.ts";
import { SkippedValues } from "./skipped_values.ts";
import { Type } from "./token.ts";
import type { DecoderHooks, DecoderState } from "./types.ts";
import type { Value } from "./value.ts";

const RECORDS = ["commits", "snapshots", "tags"] as const;
const UTF8 = new TextEncoder();
const OBJECT_ID = UTF8.encode("object_id");
const CONTENT = UTF8.encode("content");
const ENCODING = UTF8.encode("encoding");
/** A longer name of an encoding is not worth showing. */
const MAX_ENCODING_BYTES = 32;
/** The usual section names as bytes: a TextDecoder takes as long as ten short values. */
const SECTIONS = ["objects", ...RECORDS, "branch_heads"].map((name) => ({
  name,
  bytes: UTF8.encode(name),
}));

/** What a document needs. */
interface DocumentOptions {
  readonly limits: MpackLimits;
  readonly hooks: DecoderHooks;
  readonly contents: Contents;
  readonly objects: ObjectReader;
  /** If given, records are read; else they are skipped. */
  readonly hasher?: RecordHasher;
  readonly state?: DecoderState;
}

/** What the elements of a section are, if history is read. */
const ELEMENTS = { commits: In.Commit, snapshots: In.Snapshot, tags: In.Tag } as const;

/** Follows a document value by value: first its header, then the body that `header()` started. */
export class Document {
  readonly containers: Containers;
  /** Undefined if records are skipped. */
  readonly history: HistoryReader | undefined;
  readonly #limits: MpackLimits;
  readonly #contents: Contents;
  readonly #objects: ObjectReader;
  readonly #keys: Keys;
  readonly #skipped: SkippedValues;
  /** The field that the last key of an object named. */
  #field: Field;

  constructor({ limits, hooks, contents, objects, hasher, state }: DocumentOptions) {
    this.#limits = limits;
    this.#contents = contents;
    this.#objects = objects;
    const onClose = (kind: In, endBytes: number) =>
      kind === In.Object ? objects.end() : this.history?.close(kind, endBytes);
    const containers = this.containers = new Containers({ limits, contents, onClose, state });
    this.#keys = new Keys(limits, this.containers, state?.hash);
    this.#skipped = new SkippedValues(limits, this.containers, this.#keys, state?.nodes ?? 0);
    this.#field = state?.object.field ?? Field.Other;
    const keys = this.#keys, skipped = this.#skipped;
    this.history = hasher &&
      new HistoryReader({
        limits,
        hooks,
        hasher,
        containers,
        keys,
        skipped,
        state: state?.history,
      });
  }

  /** A header is complete: checks that it may stand here, and starts the body that follows. */
  header(value: Value): void {
    const { containers } = this;
    switch (containers.kind) {
      case In.Nothing:
        this.#requireMap(value, "the pack");
        return containers.open(value, In.TopMap);
      case In.TopMap:
        if (!containers.expectsKey) return this.#sectionValue(value);
        return this.#keys.startKept(value, Body.TopKey, "the top map");
      case In.Records:
        return this.#record(value);
      case In.Objects:
        this.#objects.begin(value);
        return containers.open(value, In.Object);
      case In.Object:
        if (!containers.expectsKey) return this.#objectValue(value);
        return this.#keys.startKept(value, Body.ObjectKey, "an object");
      case In.Map:
        return containers.expectsKey ? this.#skipped.key(value) : this.#skipped.value(value);
      case In.Array:
        return this.#skipped.value(value);
      default:
        return this.history!.header(value, containers.kind);
    }
  }

  /** The next bytes of the value's body are in `chunk` from `at` to `end`. */
  bodyBytes(value: Value, chunk: Uint8Array, at: number, end: number): void {
    switch (value.body) {
      case Body.Skip:
        return;
      case Body.Content:
        return this.#objects.contentBytes(chunk, at, end);
      case Body.HashKey:
        return this.#keys.update(chunk, at, end);
      default:
        // A body that lies in one chunk needs no copy.
        if (end - at === value.bodyLeft && value.kept.sizeBytes === 0) {
          return value.kept.lend(chunk, at, end);
        }
        return value.kept.push(chunk, at, end);
    }
  }

  /** The value's body is complete. */
  bodyEnds(value: Value): void {
    const { body } = value;
    value.body = Body.None;
    switch (body) {
      case Body.HashKey:
        this.#keys.add(value);
        break;
      case Body.TopKey:
        this.#keys.addKept(value);
        this.#contents.section = sectionName(value);
        break;
      case Body.ObjectKey:
        this.#keys.addKept(value);
        this.#field = objectField(value);
        break;
      case Body.Encoding:
        this.#objects.takeEncoding(value);
        break;
      case Body.ObjectId:
        this.#objects.takeId(value);
        break;
      case Body.RecordKey:
      case Body.RecordId:
      case Body.RecordText:
      case Body.Path:
      case Body.ManifestId:
        this.history!.bodyEnds(value, body);
        break;
    }
    value.kept.clear();
    this.containers.valuesEnd(1, value.endBytes);
  }

  /**
   * Inside `objects`: reads whole objects from `at` in `chunk`, whose first byte is at `base` in the
   * pack. The last one may lack its content. Returns where it stopped.
   */
  wholeObjects(value: Value, chunk: Uint8Array, at: number, base: number): number {
    if (!this.#hasRoom()) return at;
    const { containers } = this, { counts } = this.#contents, before = counts.objects;
    at = this.#objects.readWhole(value, chunk, at, base, containers.left);
    const found = counts.objects - before;
    if (found > 0) {
      containers.deepest = Math.max(containers.deepest, containers.depth + 1);
      containers.valuesEnd(found, base + at);
    }
    // Only the content of that object is still to come.
    if (value.body === Body.Content) containers.push(In.Object, 1, base + at);
    return at;
  }

  /** Inside skipped values: reads whole ones from `at`. Returns where it stopped. */
  wholeValues(chunk: Uint8Array, at: number, base: number): number {
    return this.#skipped.readWhole(chunk, at, base);
  }

  /** Inside a manifest: reads whole entries from `at`. Returns where it stopped. */
  wholeEntries(chunk: Uint8Array, at: number, base: number): number {
    return this.history!.manifest.readWhole(chunk, at, base);
  }

  save(): Pick<DecoderState, "isWhole" | "nodes" | "containers" | "hash" | "history"> & {
    field: Field;
  } {
    return {
      ...this.containers.save(),
      history: this.history?.save(),
      nodes: this.#skipped.nodes,
      hash: this.#keys.save(),
      field: this.#field,
    };
  }

  /** Whether an object with two keys stays within the limits. */
  #hasRoom(): boolean {
    const { depth, openKeys } = this.containers;
    const { maxDepth, maxKeys, maxKeyBytes, maxOpenKeys } = this.#limits;
    return depth < maxDepth && openKeys + 2 <= maxOpenKeys && maxKeys >= 2 &&
      maxKeyBytes >= OBJECT_ID.length;
  }

  #sectionValue(value: Value): void {
    const { type } = value.header, name = this.#contents.section;
    this.#contents.beginSection(value.offsetBytes);
    const isObjects = name === "objects";
    if (name === "branch_heads" && this.history) return this.#branchHeads(value);
    if (!isObjects && !RECORDS.includes(name as "tags")) return this.#skipped.value(value);
    if (type === Type.Nil) return this.containers.valuesEnd(1, value.endBytes);
    if (type !== Type.Array) throw unexpected(`"${name}"`, "an array or nil", value.offsetBytes);
    this.containers.open(value, isObjects ? In.Objects : In.Records);
  }

  #branchHeads(value: Value): void {
    const { header: { type }, offsetBytes } = value;
    if (type === Type.Nil) return this.#skipped.value(value);
    if (type !== Type.Map) throw unexpected('"branch_heads"', "a map or nil", offsetBytes);
    this.#skipped.count(value);
    this.containers.open(value, In.BranchHeads);
  }

  #record(value: Value): void {
    const section = this.#contents.section as typeof RECORDS[number];
    this.#requireMap(value, `an element of "${section}"`);
    this.#skipped.count(value);
    const number = ++this.#contents.counts[section];
    if (!this.history) return this.containers.open(value, In.Map);
    const limit = section === "commits" ? "maxCommits" : "maxSnapshots";
    if (section !== "tags" && number > this.#limits[limit]) {
      throw exceeded(this.#limits, limit, number, value.offsetBytes);
    }
    this.history.begin(value.offsetBytes);
    this.containers.open(value, ELEMENTS[section]);
  }

  #objectValue(value: Value): void {
    if (this.#field === Field.ObjectId) return value.startId(Body.ObjectId);
    if (this.#field === Field.Content) return this.#objects.startContent(value);
    if (this.#field === Field.Encoding) return this.#encodingValue(value);
    this.#skipped.value(value);
  }

  /** An encoding that no reader can undo is refused: the id is of the plain bytes. */
  #encodingValue(value: Value): void {
    const { type, length } = value.header;
    if (type === Type.Nil) return this.#skipped.value(value);
    if (type !== Type.Str || length > MAX_ENCODING_BYTES) {
      throw encoded("unknown", value.offsetBytes);
    }
    value.startBody(Body.Encoding, length);
  }

  #requireMap({ header, offsetBytes }: Value, what: string): void {
    if (header.type !== Type.Map) throw unexpected(what, "a map", offsetBytes);
  }
}

function sectionName(key: Value): string {
  for (const { name, bytes } of SECTIONS) if (key.kept.equals(bytes)) return name;
  return key.keptText();
}

function objectField(key: Value): Field {
  if (key.kept.equals(OBJECT_ID)) return Field.ObjectId;
  if (key.kept.equals(CONTENT)) return Field.Content;
  if (key.kept.equals(ENCODING)) return Field.Encoding;
  // Not a field we read, but it must be UTF-8.
  key.keptText();
  return Field.Other;
}
