import type { Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import type { StagedIds } from "../../db/publish/ghost_guard.ts";
import type { Publisher } from "../../db/publish/publisher.ts";
import type { DecoderHooks } from "../../stream/mpack/mpack_decoder.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { Job } from "../queue/job.ts";
import type { SeenBranch } from "./begin_push.ts";
import type { IndexPayload } from "./payload.ts";

/** A claimed `mpack.index` job whose payload was checked. */
export type IndexJob = Job & { readonly payload: IndexPayload };

/** The progress of a job. */
export interface IndexProgress {
  /** What it is doing. */
  readonly phase: "open" | "stream" | "publish";
  /** Bytes of the pack read, including those of an earlier attempt. */
  readonly bytes: number;
  /** Length of the pack in bytes; 0 until it is known. */
  readonly sizeBytes: number;
  /** Objects found. */
  readonly objects: number;
}

/** What indexing works with; all jobs of a process share one. */
export interface IndexContext {
  readonly db: Database;
  readonly store: BlobStore;
  readonly config: Config;
  /** Shared by all jobs, so that small packs can be published in one statement. */
  readonly publisher?: Publisher;
  /** Called after each chunk. */
  readonly onProgress?: (progress: IndexProgress, job: Job) => void;
  /** Called with the reason when a job starts over from the first byte. */
  readonly onStartOver?: (reason: string, job: Job) => void;
}

/**
 * Hooks into one pass over a pack, which may refuse it. A pack with hooks is read exactly once: it is
 * not resumed, and a rejection is not confirmed by a second reading.
 */
export interface MpackHooks {
  readonly decoder: DecoderHooks;
  /** The branch as it was when the job was made, if it shall move. */
  readonly branch?: SeenBranch;
  /** Whether `beforePublish` refuses a pack whose snapshots name objects that are missing. */
  readonly guards: boolean;
  /** Awaited between chunks. */
  drain(): Promise<void>;
  /**
   * Called with the key of the bytes when all are read and hashed; returns the payload from then on.
   * A pack with another key than it had to have is refused before.
   */
  named(mpackKey: string): Promise<IndexPayload>;
  /**
   * Called after the proof, before the publish. Throws to refuse the pack.
   *
   * @param lastIds The ids that are not staged.
   * @param staged Where the other ids are.
   */
  beforePublish(lastIds: readonly string[], staged: StagedIds): Promise<void>;
}
