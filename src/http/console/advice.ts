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
  "quota-exceeded":
    "The repo or its owner is at a limit; the overview names them. Raise it with mpackd quota set, " +
    "or delete a repo and run gc. Then retry.",
  "repo-not-found": "Its repo was deleted. Purge the job.",
  "config": "The job's payload asks for what cannot be done; the message says what.",
  "ghost-objects":
    "The client must push the objects, too: mpackd check --missing lists those that are lacking.",
  "parent-missing": "The client must push the commits that came before, too.",
  "snapshot-missing": "The client must push the snapshot, too.",
  "tagged-commit-missing": "The client must push the commit that the tag names, too.",
  "tips": "The client must name the branch's new head, or push one branch at a time.",
  "diverged": "Somebody else moved the branch. The client must pull first, or force.",
  "lease-lost": "Another worker runs it. Wait.",
  "shard-moved": "Its repo moved to another database. It runs there.",
  "object-mismatch": "Stored bytes have changed. mpackd audit names what to repair.",
  "record-mismatch": "Stored bytes have changed. mpackd audit names what to repair.",
  "cancelled": "It was cancelled. Retry it if that was a mistake.",
  "internal": "A defect of mpackd. Its log has the stack; please report it.",
};

/** Says what to do next about an error code. */
export function adviceFor(code: string): string {
  return ADVICE[code] ?? "The mpack breaks a rule. The client must send another one; " +
      "mpackd inspect names the byte.";
}
