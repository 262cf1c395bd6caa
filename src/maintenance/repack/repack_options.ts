import type { Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { MpackLimits } from "../../stream/mpack/limits.ts";

/** How far the making of one new pack is. */
export interface RepackProgress {
  /** What is being done: the order is decided, the pack is proved, the pack is stored. */
  readonly phase: "plan" | "prove" | "store";
  /** Bytes written in this phase. */
  readonly bytes: number;
  /** Bytes that will be; 0 while unknown. */
  readonly sizeBytes: number;
}

/** Which repo to repack, and with what. */
export interface RepackOptions {
  /** A database whose tables are there. */
  readonly db: Database;
  /** The store that belongs to this database. */
  readonly store: BlobStore;
  /** The template of blob keys. */
  readonly config: Pick<Config, "blobKey">;
  /** The limits of a pack. */
  readonly limits: MpackLimits;
  /** The repo. */
  readonly repoId: string;
  /** The most bytes of an object in zstd when it is decoded, to be checked. */
  readonly maxContentBytes: number;
  /** Packs are packed together up to this length in bytes; those of half of it stay as they are. */
  readonly packBytes: number;
  /** Ends the work. What was published stays. */
  readonly signal: AbortSignal;
  /** Called with the number of packs that are being packed into one. */
  readonly onPack?: (packs: number) => void;
  /** Called while a new pack is made. It is planned, then written twice: to be proved, and stored. */
  readonly onProgress?: (progress: RepackProgress) => void;
}
