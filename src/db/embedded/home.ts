/**
 * Where the embedded database lies on disk, and as whom its server runs.
 *
 * PostgreSQL refuses to run as root. Started by root, the server therefore runs as another user,
 * and everything it opens has to lie where that user may go.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "../../errors.ts";
import { lockFile } from "./file_lock.ts";

/** "nobody" on every Linux; owns the data when root created them. */
const NOBODY = 65_534;

/** Where data go that root's own folders would hide; not /var/tmp, which is swept by age. */
const STATE_FOLDER = "/var/lib/mpackd";

/** Nobody holds this lock for longer than a few system calls. */
const LOCK_WAIT_MS = 10_000;

/** The user a server runs as. */
export interface ServerUser {
  /** User id. */
  readonly uid: number;
  /** Group id. */
  readonly gid: number;
}

/** The folder of one embedded database. */
export interface EmbeddedHome {
  /** Absolute, with no symlinks in it. */
  readonly path: string;
  /** Whom to run the server as; undefined: as ourselves. */
  readonly user?: ServerUser;
}

/**
 * Finds or makes the folder of an embedded database. Safe to call from many processes at once.
 *
 * When we are root and `dataDir` lies in a folder that the server's user may not enter (below
 * `/root`, say), the folder is made in `/var/lib/mpackd`, with a symlink to it at `dataDir`.
 *
 * @throws {ConfigError} If the folder holds data and is closed to their owner.
 */
export async function openHome(dataDir: string): Promise<EmbeddedHome> {
  const path = resolve(dataDir);
  if (Deno.uid() !== 0) {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    return { path: await Deno.realPath(path) };
  }
  await Deno.mkdir(dirname(path), { recursive: true });
  // One process at a time: what one has just made must not look like a leftover to the next.
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

/** Makes the folder where it was asked for, or elsewhere if nobody could reach it there. */
async function createHome(path: string): Promise<void> {
  // A link whose target was swept away.
  await Deno.remove(path).catch(ignore(Deno.errors.NotFound));
  const parent = await Deno.realPath(dirname(path));
  if (!await isOpenTo({ uid: NOBODY, gid: NOBODY }, parent)) return createElsewhere(path);
  await Deno.mkdir(path, { mode: 0o711 }).catch(ignore(Deno.errors.AlreadyExists));
  // The umask may have taken the bits that let the server's user through.
  await Deno.chmod(path, 0o711);
}

/**
 * Makes the folder in `/var/lib/mpackd` and links to it. Its name is new each time, not made from
 * `path`: who deletes the link, or the clone around it, wants an empty database the next time.
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
    // Another process was faster: its folder is as good.
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** The owner of the data, or of the folder, or nobody. */
async function ownerOf(home: string): Promise<ServerUser> {
  for (const path of [join(home, "data"), home]) {
    const info = await Deno.stat(path).catch(ignore(Deno.errors.NotFound));
    if (info?.uid) return { uid: info.uid, gid: info.gid ?? NOBODY };
  }
  return { uid: NOBODY, gid: NOBODY };
}

/** Whether a user may enter a folder, by the modes of it and all above it. */
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

/** A catch handler that turns one class of error into undefined. */
function ignore(errorClass: new (...args: never[]) => Error): (error: unknown) => undefined {
  return (error) => {
    if (!(error instanceof errorClass)) throw error;
  };
}
