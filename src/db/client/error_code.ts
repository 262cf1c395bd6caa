/** The SQLSTATE, or the word of postgres.js or node:net; empty if there is none. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return code;
  // Happy eyeballs: one failure per address, all of the same kind.
  return error instanceof AggregateError && error.errors.length > 0
    ? codeOf(error.errors[0])
    : error.name === "ConnectionRefused"
    ? "ECONNREFUSED"
    : "";
}

/** The code of an error: the server is not one that `target_session_attrs` asks for. */
export const WRONG_SERVER = "WRONG_SERVER";
/** The SQLSTATE of a server that starts up or shuts down: it has refused the connection. */
export const CANNOT_CONNECT_NOW = "57P03";
/** Marks an error: no server has seen the statement. */
export const UNSENT = { isUnsent: true };

/** Whether an error says that no server has seen the statement. */
export function isUnsent(error: unknown): boolean {
  return error instanceof Error && "isUnsent" in error;
}
