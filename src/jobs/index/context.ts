import type { Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import type { StagedIds } from "../../db/publish/ghost_guard.ts";
import type { Publisher } from "../../db/publish/publisher.ts";
import type { MpackHandler } from "../../stream/mpack/mpack_decoder.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";

/** One claimed `mpack.index` job. */
export interface IndexJob {
  /** The job's id. */
  readonly jobId: string;
  /** The number of this claim; every write checks it. */
  readonly fence: number;
  /** The repo that pushed the pack. */
  readonly repoId: string;
  /** `sha256:` and 64 hex digits. */
  readonly mpackKey: string;
  /** How many objects the producer says there are; checked when given. */
  readonly declaredObjects?: number;
  /** Whether to write every object as a blob of its own, too. Default: the setting. */
  readonly materialize?: boolean;
  /** What an earlier attempt left. */
  readonly checkpoint: unknown;
  /** What the last attempt noted of how far it was; its `read_bytes` go on counting. */
  readonly progress?: unknown;
}

/** How far a job is. */
export interface IndexProgress {
  /** What it is doing. */
  readonly phase: "open" | "stream" | "publish";
  /** Bytes of the pack read, those of an earlier attempt included. */
  readonly bytes: number;
  /** Length of the pack in bytes; 0 until it is known. */
  readonly sizeBytes: number;
  /** Objects found. */
  readonly objects: number;
}

/** What an attempt is given by whoever runs it. */
export interface IndexContext {
  /** The database. */
  readonly db: Database;
  /** Where the pack lies. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** Ends the attempt with the signal's reason; nothing becomes visible. */
  readonly signal: AbortSignal;
  /** Called after each chunk. */
  readonly onProgress?: (progress: IndexProgress) => void;
  /** Called when a statement has renewed the lease; the time is `performance.now()` before it. */
  readonly onRenewed?: (sentAt: number) => void;
  /** Called before the publish: its statement holds the job's row, so heartbeats must stop. */
  readonly onPublish?: () => void;
  /** Publishes the packs of several jobs, so that small ones can share a statement. */
  readonly publisher?: Publisher;
  /** Sees the pack pass by, once, and has the last word. */
  readonly hooks?: MpackHooks;
  /** Called with the reason when the job starts over: no checkpoint fits, or a store misread. */
  readonly onStartOver?: (reason: string) => void;
}

/**
 * Somebody who looks at a pack while it is indexed, and may refuse it. A pack with hooks is read
 * once and no more: neither resumed nor read again to be sure of a rejection.
 */
export interface MpackHooks {
  /** Hooks for the decoder. */
  readonly handler: MpackHandler;
  /** Waited for between chunks. */
  drain(): Promise<void>;
  /**
   * Called when the pack is proved and about to be published; what it throws is why it is not.
   *
   * @param lastIds The ids that are not staged.
   * @param staged Where the others are.
   */
  beforePublish(lastIds: readonly string[], staged: StagedIds): Promise<void>;
}
