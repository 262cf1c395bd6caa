import { MpackdError } from "../../errors.ts";
import { redact } from "../../lib/redact.ts";

/** An error as a job's row, `--json` and the API show it. */
interface ErrorRecord {
  /** An {@link ErrorCode}, or `internal` for an unexpected error. */
  readonly code: string;
  /** For people. */
  readonly message: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** First byte of the pack that is wrong, if one is. */
  readonly offset_bytes?: number;
}

/** Says of an error what others may read: no secrets, no stack. */
export function describe(error: Error): ErrorRecord {
  const message = redact(error.message);
  if (!(error instanceof MpackdError)) return { code: "internal", message, retryable: true };
  const { code, retryable } = error;
  const offsetBytes = "offsetBytes" in error ? error.offsetBytes as number : undefined;
  const record = { code, message, retryable };
  return offsetBytes === undefined ? record : { ...record, offset_bytes: offsetBytes };
}
