/** What an operator does next about a job that ended with a code. The runbook says more. */
const ADVICE: Readonly<Record<string, string>> = {
  "digest-mismatch": "Other bytes were uploaded than the key names. The client must upload again.",
  "size-mismatch": "The blob is not as long as the store said. The client must upload again.",
  "truncated": "The mpack ends too early. The client must upload it again.",
  "limit-exceeded":
    "The mpack is over a limit. Raise the setting that the message names, or split it.",
  "blob-missing": "The upload has not ended, or went to another store. Compare MPACK_STORE.",
  "store-unavailable": "The store is away or refuses the credentials. Mend it, then retry.",
  "database-unavailable": "The database was away or too slow. Look for locks, then retry.",
  "attempts-exhausted":
    "It was claimed often and never finished: its worker was killed each time. " +
    "Look at the workers' logs for memory, then retry.",
  "cancelled": "It was cancelled. Retry it if that was a mistake.",
  "internal": "A defect of mpackd. Its log has the stack; please report it.",
};

/** Says what to do next about an error code. */
export function adviceFor(code: string): string {
  return ADVICE[code] ?? "The mpack breaks a rule. The client must send another one; " +
      "mpackd inspect names the byte.";
}
