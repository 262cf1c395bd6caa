/**
 * What one check of `mpackd doctor` found.
 *
 * @module
 */

import { DatabaseError, MpackdError, StoreError } from "../../errors.ts";

/** How bad it is: `warning` works but will hurt, `failure` does not work. */
export type CheckStatus = "ok" | "warning" | "failure";

/** The result of one check. */
export interface Check {
  /** What was looked at: `database clock`. */
  readonly name: string;
  readonly status: CheckStatus;
  /** What was found, with its values. */
  readonly found: string;
  /** What to do next; undefined if nothing. */
  readonly next?: string;
}

/** A check that found nothing wrong. */
export function ok(name: string, found: string): Check {
  return { name, status: "ok", found };
}

/** A check that found what will hurt, and the next step. */
export function warning(name: string, found: string, next: string): Check {
  return { name, status: "warning", found, next };
}

/** A check that found what does not work, and the next step. */
export function failure(name: string, found: string, next?: string): Check {
  return { name, status: "failure", found, ...(next && { next }) };
}

/** A check that ended with an error, and the next step. */
export function failed(name: string, error: MpackdError): Check {
  return failure(name, error.message, nextAfter(error));
}

function nextAfter(error: MpackdError): string | undefined {
  if (error instanceof DatabaseError) {
    return "compare DATABASE_URL with the server: is it up, and may this role connect?";
  }
  if (!(error instanceof StoreError)) return undefined;
  const isRefused = error.status === 401 || error.status === 403;
  return isRefused
    ? "compare AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the rights of this key with the store's"
    : "compare MPACK_STORE with the store: bucket, endpoint and region, or folder and its mount";
}

/** Runs checks; an error of mpackd's is a failure of the check `name`, and ends them. */
export async function* guarded(
  name: string,
  checks: () => AsyncIterable<Check>,
): AsyncGenerator<Check, void, undefined> {
  try {
    yield* checks();
  } catch (error) {
    if (!(error instanceof MpackdError)) throw error;
    yield failed(name, error);
  }
}
