import type { Database } from "../../db/client/database.ts";
import type { CheckKind } from "../../db/shards/move_compare.ts";

/** One step of a move, in this order; `back` when its copy was lost, and it begins again. */
export type MoveStepName =
  | "back"
  | "check"
  | "begin"
  | "schema"
  | "publish"
  | "subscribe"
  | "copy"
  | "drain"
  | "fence"
  | "replay"
  | "compare"
  | "detach"
  | "flip";

/** How far a move is, for people. */
export interface MoveProgress {
  readonly step: MoveStepName | "abort";
  /** What is done, and of how many: tables, for most steps. */
  readonly done?: number;
  readonly total?: number;
  /** Bytes of WAL that the target has not got, or bytes copied. */
  readonly bytes?: number;
  /** Why a step is tried again, or the move goes back. */
  readonly waitingFor?: string;
}

/** How to move a shard. */
export interface MoveOptions {
  readonly catalog: Database;
  /** Its name. */
  readonly shard: string;
  /** Opens a database; its URL is one of {@link completeUrl}. */
  readonly connect: (url: string) => Database;
  /** Completes a URL with what it lacks, which is the catalog's. */
  readonly completeUrl: (url: string) => string;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: MoveProgress) => void | Promise<void>;
}

/** How to move a shard to another place. */
export interface MoveToOptions extends MoveOptions {
  /** Where to, as the catalog shall have it. */
  readonly newUrl: string;
  /** The source's URL as the target sees it. Default: the one in the catalog. */
  readonly sourceUrl?: string;
  /** What to compare before the shard is turned over. */
  readonly check: CheckKind;
  /** How long running attempts may go on before they are ended, in milliseconds. */
  readonly waitMs: number;
  /** Milliseconds for which a server that does not answer is asked again. */
  readonly patienceMs?: number;
  /** Only look. */
  readonly isDryRun?: boolean;
}

/** What a move has done, or would do. snake_case, because it is printed as JSON. */
export interface MoveSummary {
  readonly shard: string;
  readonly dry_run: boolean;
  /** False if the shard was there already. */
  readonly moved: boolean;
  readonly tables: number;
  /** Rows that were compared. */
  readonly rows: number;
  /** Of tables and indexes of the source. */
  readonly bytes: number;
  /** Attempts of jobs that were ended; they are not counted. */
  readonly jobs_put_back: number;
  /** How long writers had to wait, in milliseconds. */
  readonly fenced_ms: number;
  readonly elapsed_ms: number;
}
