import { DatabaseError } from "../../errors.ts";

/**
 * Whether the server refused a statement with this code.
 *
 * @see {@link https://www.postgresql.org/docs/current/errcodes-appendix.html | SQLSTATE codes}
 */
export function hasSqlState(error: unknown, code: string): error is DatabaseError {
  return error instanceof DatabaseError &&
    (error.cause as { readonly code?: unknown } | undefined)?.code === code;
}
