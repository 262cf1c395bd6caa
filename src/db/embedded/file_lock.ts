/**
 * Locks between processes. The kernel holds them (flock), so a killed process leaves none behind.
 *
 * @module
 */
import { DatabaseError } from "../../errors.ts";

const RETRY_MS = 20;

/** How long to wait for a lock. */
export interface LockOptions {
  /** Milliseconds after which to give up. */
  readonly waitMs: number;
  /** Ends the wait with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Opens a lock file. If it makes the file, only its owner can read it. */
export function openLockFile(path: string): Promise<Deno.FsFile> {
  return Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
}

/**
 * Waits for the exclusive lock on a file. Closing the file releases the lock.
 *
 * It polls, because a blocked flock cannot be interrupted.
 *
 * @throws {DatabaseError} If another process holds it for longer than `waitMs`.
 */
export async function lockFile(
  path: string,
  { waitMs, signal }: LockOptions,
): Promise<Deno.FsFile> {
  const file = await openLockFile(path);
  try {
    const giveUpAt = performance.now() + waitMs;
    while (!await file.tryLock(true)) {
      signal?.throwIfAborted();
      if (performance.now() > giveUpAt) {
        throw new DatabaseError(
          `Cannot lock "${path}": another process has held it for ${waitMs} ms`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}
