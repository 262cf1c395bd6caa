/**
 * The words of the mpack grammar, as numbers.
 *
 * @module
 */

/** What an open container is; decides what its children may be. */
export const enum In {
  /** No container: the document itself. */
  Nothing,
  /** The top map. */
  TopMap,
  /** The array of commits, of tags, or of snapshots nobody looks into. */
  Records,
  /** The array of snapshots, where somebody asked for their manifests. */
  Snapshots,
  /** The array of objects. */
  Objects,
  /** One object. */
  Object,
  /** One snapshot, where somebody asked. */
  Snapshot,
  /** Its manifest. */
  Manifest,
  /** A skipped array. */
  Array,
  /** A skipped map. */
  Map,
}

/** What happens to the body (the bytes after the header) of the current value. */
export const enum Body {
  /** There is none. */
  None,
  /** Passed over. */
  Skip,
  /** Handed to the handler. */
  Content,
  /** Hashed as the key of a skipped map. */
  HashKey,
  /** Kept as a section's name. */
  TopKey,
  /** Kept as the key of an object. */
  ObjectKey,
  /** Kept as an object's id. */
  ObjectId,
  /** Kept as the key of a snapshot. */
  SnapshotKey,
  /** Kept as an id in a manifest. */
  ManifestId,
}

/** What the value after an object's or snapshot's key is. */
export const enum Field {
  /** Nothing to us. */
  Other,
  /** An object's id. */
  ObjectId,
  /** An object's content. */
  Content,
  /** A snapshot's manifest. */
  Manifest,
}
