/**
 * What an `mpack.index` job asks for, and the handler that does it.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import type { Database } from "../../db/client/database.ts";
import type { Publisher } from "../../db/publish/publisher.ts";
import { InvalidMpackError } from "../../errors.ts";
import { isMpackKey } from "../../lib/ids.ts";
import type { IndexProgress } from "./context.ts";
import { streamMpack } from "./stream_mpack.ts";
import type { IndexResult } from "./result.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import type { Handler } from "../attempt/handler.ts";
import type { Job } from "../queue/job.ts";

/** The job type. */
export const MPACK_INDEX = "mpack.index";

/** What producers write; everything but the key is optional, unknown fields are kept. */
export interface IndexPayload {
  /** `sha256:` and 64 hex digits. */
  readonly mpack_key: string;
  /** Who pushed. */
  readonly pusher_id?: string;
  /** The branch pushed to. */
  readonly branch?: string;
  /** The commit it is to point at. */
  readonly head?: string;
  /** Whether that may lose commits. */
  readonly force?: boolean;
  /** How many objects the pack has, by its producer; checked when given. */
  readonly declared_objects_count?: number | null;
  /** Whether to write every object as a blob of its own, too. Default: `MPACK_MATERIALIZE`. */
  readonly materialize?: boolean | null;
}

/** The real parts a handler works with. */
export interface IndexParts {
  /** The database. */
  readonly db: Database;
  /** Where packs lie. */
  readonly store: BlobStore;
  /** The settings. */
  readonly config: Config;
  /** Publishes the packs of all jobs, so that small ones can share a statement. */
  readonly publisher?: Publisher;
  /** Called after each chunk. */
  readonly onProgress?: (progress: IndexProgress, job: Job) => void;
  /** Called when a checkpoint cannot be used. */
  readonly onStartOver?: (reason: string, job: Job) => void;
}

/** A handler for `mpack.index` jobs. */
export function indexHandler(parts: IndexParts): Handler<IndexResult> {
  const { onProgress, onStartOver } = parts;
  return async (job, scope) => {
    const payload = checkPayload(job.payload);
    return await streamMpack(
      {
        jobId: job.jobId,
        fence: job.fence,
        repoId: job.repoId,
        mpackKey: payload.mpack_key,
        declaredObjects: payload.declared_objects_count ?? undefined,
        materialize: payload.materialize ?? undefined,
        checkpoint: job.checkpoint,
        progress: job.progress,
      },
      {
        ...parts,
        signal: scope.signal,
        onProgress: onProgress && ((progress) => onProgress(progress, job)),
        onStartOver: onStartOver && ((reason) => onStartOver(reason, job)),
        onRenewed: (sentAt) => scope.renewed(sentAt),
        onPublish: () => scope.finishing(),
      },
    );
  };
}

/**
 * A payload in the shape the pipeline needs.
 *
 * @throws {InvalidMpackError} `unexpected-shape` if it names no mpack key or a count that is none.
 */
export function checkPayload(payload: unknown): IndexPayload {
  const given = (payload ?? {}) as Partial<IndexPayload>;
  if (typeof given.mpack_key !== "string" || !isMpackKey(given.mpack_key)) {
    throw new InvalidMpackError(
      "unexpected-shape",
      `Cannot run the job: its payload's mpack_key is ${
        JSON.stringify(given.mpack_key)
      }, not "sha256:" and 64 lower-case hex digits`,
    );
  }
  const count = given.declared_objects_count ?? undefined;
  if (count !== undefined && !(Number.isSafeInteger(count) && count >= 0)) {
    throw new InvalidMpackError(
      "unexpected-shape",
      `Cannot run the job: its payload's declared_objects_count is ${JSON.stringify(count)}`,
    );
  }
  const { materialize } = given;
  if (typeof (materialize ?? false) !== "boolean") {
    throw new InvalidMpackError(
      "unexpected-shape",
      `Cannot run the job: its payload's materialize is ${
        JSON.stringify(materialize)
      }, not a boolean`,
    );
  }
  return given as IndexPayload;
}
