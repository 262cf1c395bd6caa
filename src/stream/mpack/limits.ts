/**
 * Limits on one pack. All are on by default. Each is checked against what has arrived, or before
 * anything is allocated: a declared length alone never costs memory.
 *
 * @module
 */

/** The limits on one pack. Exceeding one is a `limit-exceeded` error that names it. */
export interface MpackLimits {
  /** Length of the whole pack in bytes, 1 or more. */
  readonly maxPackBytes: number;
  /** Objects in one pack, 0 or more. */
  readonly maxObjects: number;
  /** Length of one object's content in bytes, 0 or more; bin 32 itself ends at 4 GiB - 1. */
  readonly maxContentBytes: number;
  /** Containers inside one another, the top map being 1; 3 to 1,000. */
  readonly maxDepth: number;
  /**
   * Length in bytes of one key of the top map or of an object, and of a record's texts that have no
   * limit of their own: author, time, tag, branch; 9 to 65,536.
   */
  readonly maxKeyBytes: number;
  /** Keys in the top map, and in one object; 4 to 10,000. */
  readonly maxKeys: number;
  /** Length in bytes of one string, binary or extension outside `content`. */
  readonly maxValueBytes: number;
  /** Values outside `content` and `object_id`, over the whole pack. */
  readonly maxNodes: number;
  /** Keys of all maps that are open at once (8 to 32 bytes of memory each). */
  readonly maxOpenKeys: number;
  /** Commits in one pack, if history is read. */
  readonly maxCommits: number;
  /** Snapshots in one pack, if history is read. */
  readonly maxSnapshots: number;
  /** Length in bytes of one commit's message. */
  readonly maxMessageBytes: number;
  /** Length in bytes of one commit's metadata and reviewers together. */
  readonly maxAnnotationBytes: number;
  /** Length in bytes of one path. */
  readonly maxPathBytes: number;
  /**
   * Length in bytes of a manifest whose paths are not sorted, counting 66 bytes and the path for each
   * entry: it is kept in memory, and all other work waits while it is sorted, some 0.1 s for 150,000
   * paths. A sorted one may have any length.
   */
  readonly maxUnsortedManifestBytes: number;
  /** Length in bytes of a delta, and of the manifest that it makes, counted likewise. */
  readonly maxManifestBytes: number;
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/**
 * The defaults: some way above the largest real packs seen (8 levels, a commit of 1.9 MB, a
 * message of 296 KB, an object of 110 MB, manifests of thousands of paths).
 */
export const DEFAULT_LIMITS: MpackLimits = Object.freeze({
  maxPackBytes: 64 * GIB,
  maxObjects: 20_000_000,
  maxContentBytes: 4 * GIB,
  maxDepth: 64,
  maxKeyBytes: 1024,
  maxKeys: 64,
  maxValueBytes: 64 * MIB,
  maxNodes: 50_000_000,
  maxOpenKeys: 2_000_000,
  maxCommits: 1_000_000,
  maxSnapshots: 1_000_000,
  maxMessageBytes: MIB,
  maxAnnotationBytes: 256 * 1024,
  maxPathBytes: 4096,
  maxUnsortedManifestBytes: 16 * MIB,
  maxManifestBytes: 32 * MIB,
});
