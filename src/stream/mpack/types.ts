/**
 * What goes in and out of the decoder: counts, hooks and its saved state.
 *
 * @module
 */

import type { Encoding } from "../../lib/object_columns.ts";
import type { SnapshotRecord } from "../../lib/records.ts";
import type { Body, Field, In } from "./grammar.ts";
import type { HistoryState } from "./history/state.ts";

/** How many records a pack has. */
export interface MpackCounts {
  /** Commits seen so far. */
  readonly commits: number;
  /** Snapshots seen so far. */
  readonly snapshots: number;
  /** Objects seen so far, duplicates included. */
  readonly objects: number;
  /** Tags seen so far. */
  readonly tags: number;
}

/** One value of the top map. */
export interface SectionSpan {
  /** The key. */
  readonly name: string;
  /** First byte of the value's header. */
  readonly offsetBytes: number;
  /** Length of the whole value in bytes; 0 while it is open. */
  sizeBytes: number;
}

/** Hooks for callers that need more than locations. A view is valid during the call only. */
export interface DecoderHooks {
  /** A content begins; `objectId` is undefined if the id follows the content. */
  contentStart?(sizeBytes: number, contentOffset: number, objectId: string | undefined): void;
  /** The next bytes of that content. */
  contentBytes?(bytes: Uint8Array): void;
  /** The object is complete. `encoding` is null for a plain content. */
  object?(
    objectId: string,
    contentOffset: number,
    sizeBytes: number,
    encoding: Encoding | null,
  ): void;
  /** A snapshot's manifest, or a delta's `delta_add`, names an object. Only if history is read. */
  manifestId?(objectId: string): void;
  /**
   * A snapshot is complete. Only if history is read.
   *
   * @param entries Its manifest, or what a delta adds, sorted by path: for each one the path, NUL, 64
   *   hex digits, NUL. Valid during the call. Undefined if it was too large to keep.
   * @param removed The paths that a delta removes.
   */
  snapshot?(
    record: SnapshotRecord,
    entries: Uint8Array | undefined,
    removed: readonly string[],
  ): void;
}

/** The value being read. */
export interface ValueState {
  /** First byte of its header in the pack. */
  offsetBytes: number;
  /** What its body is for. */
  body: Body;
  /** Bytes of its body still to come. */
  bodyLeft: number;
  /** Bytes kept of a header that the chunk cut. */
  headerBytes: number;
  /** Bytes kept of its body. */
  capturedBytes: number;
}

/** The object being read. */
export interface ObjectState {
  /** What its next value is. */
  field: Field;
  /** First byte of its map. */
  offsetBytes: number;
  /** Length of its id in bytes; 0 before the id. */
  idBytes: number;
  /** First byte of its content; -1 before the content. */
  contentOffset: number;
  /** Length of its content in bytes. */
  contentBytes: number;
  /** How its content is encoded, as far as is known; null for plain. */
  encoding: Encoding | null;
}

/** The open containers, outermost first. */
export interface ContainersState {
  /** What each one is. */
  readonly kinds: In[];
  /** Values still to come in each one, keys included. */
  readonly left: number[];
  /** The hashes of the keys of each one. */
  readonly keys: number[][];
  /** The most that were open at once. */
  readonly deepest: number;
  /** Keys of the innermost one that are known to differ, and so are not hashed. */
  readonly distinctKeys: number;
}

/** The order of the ids so far. */
export interface OrderState {
  /** The last id. */
  readonly lastId: string;
  /** Whether each one was greater than the one before. */
  readonly sortedUnique: boolean;
}

/** A decoder at rest between two chunks, as JSON. */
export interface DecoderState {
  /** Version of this record; another one is not loaded. */
  readonly version: number;
  /** Bytes decoded. */
  readonly offsetBytes: number;
  /** Whether the document is complete. */
  readonly isWhole: boolean;
  /** The section being read. */
  readonly section: string;
  /** Values skipped so far. */
  readonly nodes: number;
  /** What was found so far. */
  readonly counts: MpackCounts;
  /** The sections so far. */
  readonly sections: SectionSpan[];
  /**
   * The open containers.
   *
   * @ignore
   */
  readonly containers: ContainersState;
  /**
   * The value being read.
   *
   * @ignore
   */
  readonly value: ValueState;
  /**
   * The object being read.
   *
   * @ignore
   */
  readonly object: ObjectState;
  /**
   * The record being read, if history is read.
   *
   * @ignore
   */
  readonly history?: HistoryState;
  /**
   * The order of the ids.
   *
   * @ignore
   */
  readonly order: OrderState;
  /** Seed and value of the key hash. */
  readonly hash: number[];
  /** Bytes kept of a header, of a key or id, and the object's id, in hex. */
  readonly kept: { readonly header: string; readonly captured: string; readonly id: string };
}
