/**
 * Names of places, bodies and fields in the mpack grammar.
 *
 * @module
 */

/** Kinds of open containers; the kind decides what may stand inside. */
export const enum In {
  /** No container: the document itself. */
  Nothing,
  /** The top map. */
  TopMap,
  /** The array of commits or tags, or of snapshots without a `manifestId` hook. */
  Records,
  /** The array of snapshots, with that hook. */
  Snapshots,
  /** The array of objects. */
  Objects,
  /** One object. */
  Object,
  /** One snapshot, with that hook. */
  Snapshot,
  /** Its manifest, or the part that a delta adds. */
  Manifest,
  /** A skipped array. */
  Array,
  /** A skipped map. */
  Map,
}

/** What is done with the body of a value, the bytes after its header. */
export const enum Body {
  /** It has no body. */
  None,
  /** Skipped. */
  Skip,
  /** Passed to the hooks. */
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
  /** Kept as the name of an encoding. */
  Encoding,
}

/** Fields that a key of an object or snapshot can name. */
export const enum Field {
  /** A field that is skipped. */
  Other,
  /** An object's id. */
  ObjectId,
  /** An object's content. */
  Content,
  /** A snapshot's manifest, or the part that a delta adds to one. */
  Manifest,
  /** An object's encoding. */
  Encoding,
}
