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
  /** The array of commits, snapshots or tags. */
  Records,
  /** The array of objects. */
  Objects,
  /** One object. */
  Object,
  /** One commit whose fields are read. */
  Commit,
  /** One such snapshot. */
  Snapshot,
  /** One such tag. */
  Tag,
  /** A snapshot's manifest, or the part that a delta adds. */
  Manifest,
  /** The paths that a delta removes. */
  Removed,
  /** A commit's metadata. */
  Metadata,
  /** A commit's reviewers. */
  Texts,
  /** The heads of branches. */
  BranchHeads,
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
  /** Kept as the key of a record. */
  RecordKey,
  /** Kept as the id of a record. */
  RecordId,
  /** Kept as a text of a record. */
  RecordText,
  /** Kept as a path. */
  Path,
  /** Kept as an id in a manifest. */
  ManifestId,
  /** Kept as the name of an encoding. */
  Encoding,
}

/** Fields that a key of an object can name. */
export const enum Field {
  /** A field that is skipped. */
  Other,
  /** An object's id. */
  ObjectId,
  /** An object's content. */
  Content,
  /** An object's encoding. */
  Encoding,
}
