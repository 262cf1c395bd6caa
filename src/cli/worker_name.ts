/**
 * The names by which jobs say who runs them.
 *
 * A process id does not name a process for sure: two containers with one host name have processes of
 * the same ids, and an id is used again. So each process locks a file in MPACK_HOME and has the file's
 * random name in its own. The kernel releases the lock when the process ends, however it ends.
 *
 * @module
 */

import { join } from "node:path";

const DAY_MS = 24 * 60 * 60_000;
const LOCK_SUFFIX = ".lock";

let name: string | undefined;
/** Locked until this process ends; a variable, so that it is not closed before. */
let lock: Deno.FsFile | undefined;

/** Names this process in the `locked_by` of a job: host, process id, and the file it has locked. */
export function workerName(home: string): string {
  return name ??= makeName(home);
}

function makeName(home: string): string {
  const host = `${Deno.hostname()}:${Deno.pid}`;
  const token = crypto.randomUUID().slice(0, 8), path = lockPath(home, token);
  // A person at a terminal is not asked for a permission: without the file all works, but later.
  if (!mayUse(home)) return host;
  try {
    Deno.mkdirSync(folderOf(home), { recursive: true });
    removeOldFiles(home);
    lock = Deno.openSync(path, { write: true, createNew: true });
    if (!lock.tryLockSync(true)) return host;
  } catch {
    // MPACK_HOME cannot be written to. Jobs of this process are taken over after their lease.
    return host;
  }
  globalThis.addEventListener("unload", () => {
    try {
      Deno.removeSync(path);
    } catch {
      // The folder is gone.
    }
  });
  return `${host}:${token}`;
}

/**
 * Whether a worker has ended for sure: its file is here, and it does not lock it any more. Without the
 * file it ran elsewhere, or has ended well; then its jobs wait for their lease to expire.
 */
export function isGoneWorker(worker: string, home: string): boolean {
  const [, token] = /:([0-9a-f]{8})$/.exec(worker) ?? [];
  return token !== undefined && worker !== name && mayUse(home) &&
    isReleased(lockPath(home, token));
}

/** Removes the files of processes that were killed long ago. */
function removeOldFiles(home: string): void {
  for (const { name } of Deno.readDirSync(folderOf(home))) {
    const path = join(folderOf(home), name);
    const { mtime } = Deno.statSync(path);
    if (mtime !== null && Date.now() - mtime.getTime() > DAY_MS && isReleased(path)) {
      Deno.removeSync(path);
    }
  }
}

function mayUse(path: string): boolean {
  return (["read", "write"] as const).every((name) =>
    Deno.permissions.querySync({ name, path }).state === "granted"
  );
}

function isReleased(path: string): boolean {
  try {
    using file = Deno.openSync(path, { read: true, write: true });
    return file.tryLockSync(true);
  } catch {
    return false;
  }
}

function folderOf(home: string): string {
  return join(home, "workers");
}

function lockPath(home: string, token: string): string {
  return join(folderOf(home), `${token}${LOCK_SUFFIX}`);
}
