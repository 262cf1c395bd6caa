/**
 * Reads the elements of `commits`, `snapshots` and `tags`, and `branch_heads`.
 *
 * @module
 */

import type { CommitRecord, PackRecords, SnapshotRecord, TagRecord } from "../../../lib/records.ts";
import type { BranchHead } from "../../../lib/records.ts";
import type { Containers } from "../containers.ts";
import { Body, In } from "../grammar.ts";
import type { Keys } from "../keys.ts";
import type { MpackLimits } from "../limits.ts";
import { BARE_ID_BYTES, idText, isIdAt, PREFIXED_ID_BYTES } from "../object_id.ts";
import { badPath, badRecordId, exceeded, unexpected } from "../refusals.ts";
import type { SkippedValues } from "../skipped_values.ts";
import { Type } from "../token.ts";
import type { DecoderHooks } from "../types.ts";
import type { Value } from "../value.ts";
import { Field, fieldOf, MAX_NAME_BYTES } from "./fields.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { isPathAt } from "./path_check.ts";
import { beginDraft, commitOf, snapshotOf, tagOf } from "./record_draft.ts";
import type { RecordHasher } from "../../../lib/record_hasher.ts";
import type { HistoryState } from "./state.ts";
import { textOf } from "./texts.ts";

/** What a record takes besides its texts, about. */
const RECORD_BYTES = 256;

/** What a history reader needs. */
export interface HistoryReaderOptions {
  readonly limits: MpackLimits;
  readonly hooks: DecoderHooks;
  readonly hasher: RecordHasher;
  readonly containers: Containers;
  readonly keys: Keys;
  readonly skipped: SkippedValues;
  readonly state?: HistoryState;
}

/** Reads records value by value: first its header, then the body that `header()` started. */
export class HistoryReader {
  readonly manifest: ManifestReader;
  readonly #limits: MpackLimits;
  readonly #hooks: DecoderHooks;
  readonly #hasher: RecordHasher;
  readonly #containers: Containers;
  readonly #keys: Keys;
  readonly #skipped: SkippedValues;
  #field = Field.Other;
  #draft = beginDraft(0);
  /** The branch whose head comes next. */
  #branch = "";

  // What `take()` would return.
  #commits: CommitRecord[] = [];
  #snapshots: SnapshotRecord[] = [];
  #tags: TagRecord[] = [];
  #branchHeads: BranchHead[] = [];
  readyBytes = 0;

  constructor(options: HistoryReaderOptions) {
    const { limits, hooks, hasher, containers, keys, skipped, state } = options;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#hasher = hasher;
    this.#containers = containers;
    this.#keys = keys;
    this.#skipped = skipped;
    this.manifest = new ManifestReader({ limits, hooks, hasher, containers, keys, skipped });
    if (!state) return;
    this.#field = state.field;
    this.#draft = structuredClone(state.draft);
    this.#branch = state.branch;
    this.manifest.load(state.manifest);
  }

  /** Records that `take()` would return. */
  get ready(): number {
    return this.#commits.length + this.#snapshots.length + this.#tags.length +
      this.#branchHeads.length;
  }

  /** The records since the last call. */
  take(): PackRecords {
    const commits = this.#commits, snapshots = this.#snapshots;
    const tags = this.#tags, branchHeads = this.#branchHeads;
    this.#commits = [];
    this.#snapshots = [];
    this.#tags = [];
    this.#branchHeads = [];
    this.readyBytes = 0;
    return { commits, snapshots, tags, branchHeads };
  }

  /** A record begins. */
  begin(offsetBytes: number): void {
    this.#draft = beginDraft(offsetBytes);
    this.manifest.begin();
  }

  /** The header of a value in a container of this kind is complete. */
  header(value: Value, kind: In): void {
    const isKey = kind !== In.Texts && kind !== In.Removed && this.#containers.expectsKey;
    switch (kind) {
      case In.Manifest:
        return isKey ? this.#startPath(value) : this.#startManifestId(value);
      case In.Removed:
        return this.#startPath(value);
      case In.Texts:
        return this.#startAnnotation(value);
      case In.Metadata:
        return this.#startAnnotation(value);
      case In.BranchHeads:
        return isKey ? this.#startText(value, "a branch") : this.#headValue(value);
      default:
        return isKey ? this.#startName(value) : this.#fieldValue(value);
    }
  }

  /** The value's body is complete. */
  bodyEnds(value: Value, body: Body): void {
    const kind = this.#containers.kind;
    switch (body) {
      case Body.RecordKey:
        this.#keys.addKept(value);
        this.#field = fieldOf(kind, value.kept);
        return;
      case Body.RecordId:
        if (!isIdAt(value.kept.bytes, value.kept.at, value.kept.sizeBytes)) {
          throw badRecordId(value.offsetBytes);
        }
        return this.#takeId(idText(value.kept.view()), kind);
      case Body.ManifestId:
        value.checkKeptId();
        return this.manifest.id(value);
      case Body.Path:
        return kind === In.Manifest ? this.manifest.path(value) : this.#takeRemoved(value);
      default:
        return this.#takeText(value, kind);
    }
  }

  /** A container of this kind has ended. */
  close(kind: In, endBytes: number): void {
    const draft = this.#draft;
    switch (kind) {
      case In.Commit: {
        const commit = commitOf(draft, endBytes, this.#hasher);
        this.#commits.push(commit);
        this.readyBytes += RECORD_BYTES + commit.message.length + draft.annotationBytes;
        return;
      }
      case In.Snapshot: {
        const snapshot = snapshotOf(draft, endBytes, this.manifest);
        this.#snapshots.push(snapshot);
        this.readyBytes += RECORD_BYTES;
        return this.#announce(snapshot);
      }
      case In.Tag:
        this.#tags.push(tagOf(draft));
        this.readyBytes += RECORD_BYTES;
        return;
    }
  }

  #announce(snapshot: SnapshotRecord): void {
    const { sizeBytes } = this.manifest;
    if (snapshot.parentSnapshotId !== null && sizeBytes > this.#limits.maxManifestBytes) {
      throw exceeded(this.#limits, "maxManifestBytes", sizeBytes, snapshot.offsetBytes);
    }
    this.#hooks.snapshot?.(snapshot, this.manifest.sorted(), this.#draft.removed);
  }

  /** Bytes that a saved state would contain, about. */
  get keptBytes(): number {
    const { texts, annotationBytes, removedBytes } = this.#draft;
    return this.manifest.keptBytes + (texts[Field.Message]?.length ?? 0) + annotationBytes +
      removedBytes;
  }

  save(): HistoryState {
    const draft = structuredClone(this.#draft);
    return { field: this.#field, draft, branch: this.#branch, manifest: this.manifest.save() };
  }

  /** A key of a record: kept if it may name a field. */
  #startName(value: Value): void {
    const { type, length } = value.header;
    this.#field = Field.Other;
    const isName = type === Type.Str && length <= MAX_NAME_BYTES;
    if (!isName || length > this.#limits.maxValueBytes) return this.#skipped.key(value);
    this.#skipped.count(value);
    value.startBody(Body.RecordKey, length);
  }

  #fieldValue(value: Value): void {
    const field = this.#field, isNil = value.header.type === Type.Nil;
    switch (field) {
      case Field.Other:
        return this.#skipped.value(value);
      case Field.CommitId:
      case Field.SnapshotId:
        return this.#startId(value);
      case Field.Parent:
      case Field.SecondParent:
      case Field.ParentSnapshot:
        return isNil ? this.#skipped.value(value) : this.#startId(value);
    }
    if (isNil) return this.#skipped.value(value);
    switch (field) {
      case Field.Message:
        return this.#startText(value, "a message", "maxMessageBytes");
      case Field.Metadata:
        return this.#open(value, In.Metadata, Type.Map, "a commit's metadata");
      case Field.ReviewedBy:
        return this.#open(value, In.Texts, Type.Array, "a commit's reviewed_by");
      case Field.TestRuns:
        return this.#testRuns(value);
      case Field.Manifest:
        this.#draft.hasManifest = true;
        this.manifest.begin();
        return this.#open(value, In.Manifest, Type.Map, "a snapshot's manifest");
      case Field.DeltaAdd:
        // A snapshot with both is refused at its end; until then the later one is read.
        if (value.header.length > 0) this.manifest.begin();
        this.#countDelta(value);
        return this.#open(value, In.Manifest, Type.Map, "a snapshot's delta_add");
      case Field.DeltaRemove:
        this.#countDelta(value);
        return this.#open(value, In.Removed, Type.Array, "a snapshot's delta_remove");
      case Field.Directories:
        return this.#directories(value);
      default:
        return this.#startText(value, "a text of a record");
    }
  }

  #startId(value: Value): void {
    const { type, length } = value.header;
    const isLength = length === PREFIXED_ID_BYTES || length === BARE_ID_BYTES;
    if (type !== Type.Str || !isLength) throw badRecordId(value.offsetBytes);
    this.#skipped.count(value);
    value.startBody(Body.RecordId, length);
  }

  #startManifestId(value: Value): void {
    value.startId(Body.ManifestId);
    this.#skipped.count(value);
  }

  #startPath(value: Value): void {
    this.#requireText(value, "a path");
    this.#startBounded(value, Body.Path, "maxPathBytes");
  }

  #startText(value: Value, what: string, limit: TextLimit = "maxKeyBytes"): void {
    this.#requireText(value, what);
    this.#startBounded(value, Body.RecordText, limit);
  }

  /** A name or value of the metadata, or a reviewer. */
  #startAnnotation(value: Value): void {
    this.#requireText(value, "an annotation");
    const { length } = value.header, sum = this.#draft.annotationBytes += length;
    this.#skipped.count(value);
    if (sum > this.#limits.maxAnnotationBytes) {
      throw exceeded(this.#limits, "maxAnnotationBytes", sum, value.offsetBytes);
    }
    value.startBody(Body.RecordText, length);
  }

  #startBounded(value: Value, body: Body, limit: TextLimit): void {
    const { length } = value.header;
    this.#skipped.count(value);
    if (length > this.#limits[limit]) {
      throw exceeded(this.#limits, limit, length, value.offsetBytes);
    }
    value.startBody(body, length);
  }

  #requireText({ header, offsetBytes }: Value, what: string): void {
    if (header.type !== Type.Str) throw unexpected(what, "a string", offsetBytes);
  }

  #open(value: Value, kind: In, type: Type.Map | Type.Array, what: string): void {
    const wanted = type === Type.Map ? "a map or nil" : "an array or nil";
    if (value.header.type !== type) throw unexpected(what, wanted, value.offsetBytes);
    this.#skipped.count(value);
    this.#containers.open(value, kind);
  }

  #countDelta({ header }: Value): void {
    const draft = this.#draft;
    draft.deltaPaths = Math.max(0, draft.deltaPaths) + header.length;
  }

  #testRuns(value: Value): void {
    const runs = value.header.unsigned();
    if (runs === undefined) throw unexpected("test_runs", "a count or nil", value.offsetBytes);
    this.#draft.testRuns = runs;
    this.#skipped.value(value);
  }

  #directories(value: Value): void {
    const { type, length } = value.header;
    if (type !== Type.Array) {
      throw unexpected("a snapshot's directories", "an array or nil", value.offsetBytes);
    }
    this.#draft.hasDirectories = length > 0;
    this.#skipped.value(value);
  }

  #headValue(value: Value): void {
    return value.header.type === Type.Nil ? this.#skipped.value(value) : this.#startId(value);
  }

  #takeId(id: string, kind: In): void {
    if (kind !== In.BranchHeads) {
      this.#draft.texts[this.#field] = id;
      return;
    }
    this.#branchHeads.push({ name: this.#branch, commitId: id });
    this.readyBytes += RECORD_BYTES;
  }

  #takeText(value: Value, kind: In): void {
    const isKey = kind !== In.Texts && this.#containers.expectsKey;
    if (isKey) this.#keys.addKept(value);
    const text = textOf(value);
    if (kind === In.Texts) this.#draft.reviewedBy.push(text);
    else if (kind === In.Metadata) this.#draft.metadata.push(text);
    else if (kind === In.BranchHeads) this.#branch = text;
    else this.#draft.texts[this.#field] = text;
  }

  #takeRemoved(value: Value): void {
    const path = textOf(value), { bytes, at, sizeBytes } = value.kept;
    if (!isPathAt(bytes, at, at + sizeBytes)) throw badPath(value.offsetBytes);
    const sum = this.#draft.removedBytes += sizeBytes + 1;
    if (sum > this.#limits.maxManifestBytes) {
      throw exceeded(this.#limits, "maxManifestBytes", sum, value.offsetBytes);
    }
    this.#draft.removed.push(path);
  }
}

type TextLimit = "maxMessageBytes" | "maxKeyBytes" | "maxPathBytes";
