/**
 * The payload of an `mpack.index` job, as its producer wrote it.
 *
 * @module
 */

import { InvalidMpackError } from "../../errors.ts";
import { isMpackKey } from "../../lib/ids.ts";

/** The type of jobs that index an mpack. */
export const MPACK_INDEX = "mpack.index";

/** Stands for the key of a pack until its last byte is hashed. No pack has it. */
export const UNKNOWN_KEY = "sha256:";

/** Only the key is required; unknown fields are kept. */
export interface IndexPayload {
  /** `sha256:` and 64 hex digits. */
  readonly mpack_key: string;
  /** Who pushed. */
  readonly pusher_id?: string;
  /** The branch pushed to: it moves if the pack's history allows it, and the result says whether. */
  readonly branch?: string;
  /** The commit that the branch shall point to. Default: the one tip of the pack's history. */
  readonly head?: string;
  /** Whether that may drop commits from the branch. */
  readonly force?: boolean;
  /** Whether a pack that breaks a rule of history is refused whole. Default: its objects are kept. */
  readonly strict?: boolean;
  /** Whether a push follows that names these objects: without one, gc collects them. */
  readonly partial?: boolean;
  /** How many objects the producer says the pack has; checked when given. */
  readonly declared_objects_count?: number | null;
  /** Whether to also write every object as its own blob. Default: `MPACK_MATERIALIZE`. */
  readonly materialize?: boolean | null;
}

/**
 * Checks a job's payload.
 *
 * @throws {InvalidMpackError} `unexpected-shape`, naming the field.
 */
export function checkPayload(payload: unknown): IndexPayload {
  const given = (payload ?? {}) as Partial<IndexPayload>;
  const { mpack_key, declared_objects_count: count, materialize } = given;
  if (typeof mpack_key !== "string" || !isMpackKey(mpack_key)) {
    throw unexpected("mpack_key", mpack_key, ', not "sha256:" and 64 lower-case hex digits');
  }
  if (count !== undefined && count !== null && !(Number.isSafeInteger(count) && count >= 0)) {
    throw unexpected("declared_objects_count", count, "");
  }
  if (typeof (materialize ?? false) !== "boolean") {
    throw unexpected("materialize", materialize, ", not a boolean");
  }
  return withoutOthers(given);
}

/**
 * Leaves out what other producers write into the fields of the branch if they have none. A branch's
 * name and head are checked with the history.
 */
function withoutOthers(given: Partial<IndexPayload>): IndexPayload {
  const { branch, head, force, strict, ...rest } = given;
  return {
    ...rest,
    ...(typeof branch === "string" && branch !== "" && { branch }),
    ...(typeof head === "string" && head !== "" && { head }),
    ...(typeof force === "boolean" && { force }),
    ...(typeof strict === "boolean" && { strict }),
  } as IndexPayload;
}

function unexpected(field: string, value: unknown, wanted: string): InvalidMpackError {
  const message = `Cannot run the job: its payload's ${field} is ${JSON.stringify(value)}${wanted}`;
  return new InvalidMpackError("unexpected-shape", message);
}
