/**
 * The folder of the embedded database, and the user that its server runs as.
 *
 * PostgreSQL refuses to run as root. If this process is root, the server runs as another user, and
 * that user must be able to enter every folder on the way to its files.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "../../errors.ts";
import { lockFile } from "./file_lock.ts";

/** The user "nobody" on every Linux. It owns the data if root created them. */
const NOBODY = 65_534;

/** For data that other users could not reach in root's folders. Not /var/tmp: old files are deleted there. */
const STATE_FOLDER = "/var/lib/mpackd";

/** The lock is held for a few system calls only. */
const LOCK_WAIT_MS = 10_000;

/** The user a server runs as. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** The folder of one embedded database. */
export interface EmbeddedHome {
  /** An absolute path without symlinks. */
  readonly path: string;
  /** The user to run the server as. Default: this process's user. */
  readonly user?: ServerUser;
}

/**
 * Finds or makes the folder of an embedded database. Many processes may call it at once.
 *
 * If this process is root and the server's user may not enter a folder on the way to `dataDir` (such
 * as `/root`), the folder is made in `/var/lib/mpackd`, with a symlink to it at `dataDir`.
 *
 * @throws {ConfigError} If the folder holds data that their owner cannot reach.
 */
export async function openHome(dataDir: string): Promise<EmbeddedHome> {
  const path = resolve(dataDir);
  if (Deno.uid() !== 0) {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    return { path: await Deno.realPath(path) };
  }
  await Deno.mkdir(dirname(path), { recursive: true });
  // One process at a time: a folder that one has just made must not look like a leftover to another.
  using _lock = await lockFile(`${path}.lock`, { waitMs: LOCK_WAIT_MS });
  return await openHomeAsRoot(path);
}

async function openHomeAsRoot(path: string): Promise<EmbeddedHome> {
  if (!await exists(path)) await createHome(path);
  const home = await Deno.realPath(path);
  const user = await ownerOf(home);
  if (await isOpenTo(user, home)) return { path: home, user };
  if (!await isEmpty(home)) {
    throw new ConfigError(
      `Cannot open the embedded database in "${path}": we are root, its server runs as user ` +
        `${user.uid}, and a folder on the way is closed to that user; open it with chmod o+x, ` +
        `or choose another folder, or set DATABASE_URL`,
    );
  }
  await Deno.remove(path).catch(ignore(Deno.errors.NotFound));
  await createElsewhere(path);
  return openHomeAsRoot(path);
}

/** Makes the folder at `path`, or in `/var/lib/mpackd` if the server's user cannot reach it there. */
async function createHome(path: string): Promise<void> {
  // A link whose target was deleted.
  await Deno.remove(path).catch(ignore(Deno.errors.NotFound));
  const parent = await Deno.realPath(dirname(path));
  if (!await isOpenTo({ uid: NOBODY, gid: NOBODY }, parent)) return createElsewhere(path);
  await Deno.mkdir(path, { mode: 0o711 }).catch(ignore(Deno.errors.AlreadyExists));
  // The umask may have removed the bits that let the server's user enter.
  await Deno.chmod(path, 0o711);
}

/**
 * Makes the folder in `/var/lib/mpackd` and links to it. Its name is random, not made from `path`: if
 * a user deletes the link, the next database must be empty.
 */
async function createElsewhere(path: string): Promise<void> {
  await Deno.mkdir(STATE_FOLDER, { recursive: true });
  await Deno.chmod(STATE_FOLDER, 0o711);
  const home = await Deno.makeTempDir({ dir: STATE_FOLDER, prefix: "pg-" });
  await Deno.chmod(home, 0o711);
  await Deno.writeTextFile(join(home, "linked-from"), `${path}\n`);
  try {
    await Deno.symlink(home, path);
  } catch (error) {
    await Deno.remove(home, { recursive: true });
    // Another process has made the link; its folder is used.
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** The owner of the data; else the owner of the folder; else the user "nobody". */
async function ownerOf(home: string): Promise<ServerUser> {
  for (const path of [join(home, "data"), home]) {
    const info = await Deno.stat(path).catch(ignore(Deno.errors.NotFound));
    if (info?.uid) return { uid: info.uid, gid: info.gid ?? NOBODY };
  }
  return { uid: NOBODY, gid: NOBODY };
}

/** Whether the modes of a folder and of all folders above it let a user enter. */
async function isOpenTo({ uid, gid }: ServerUser, folder: string): Promise<boolean> {
  for (let path = folder;; path = dirname(path)) {
    const info = await Deno.stat(path);
    const enterBit = info.uid === uid ? 0o100 : info.gid === gid ? 0o010 : 0o001;
    if (((info.mode ?? 0) & enterBit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).catch(ignore(Deno.errors.NotFound)) !== undefined;
}

async function isEmpty(folder: string): Promise<boolean> {
  for await (const _ of Deno.readDir(folder)) return false;
  return true;
}

/** Makes a catch handler that returns undefined for one class of error. */
function ignore(errorClass: new (...args: never[]) => Error): (error: unknown) => undefined {
  return (error) => {
    if (!(error instanceof errorClass)) throw error;
  };
}
