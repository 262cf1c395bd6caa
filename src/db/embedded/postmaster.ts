/**
 * Looks at a PostgreSQL server from outside: its pid file, its process, its answer.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import postgres from "postgres";

const PROBE_MS = 5_000;
/** Larger than any process id, so no process has it. */
const NO_PID = 999_999_999;
/** Nothing listens, or the password is wrong: the server belongs to another cluster. */
const ABSENT_CODES = ["ECONNREFUSED", "28P01"];

/**
 * The pid file of a running server.
 *
 * @see {@link https://www.postgresql.org/docs/current/storage-file-layout.html | postmaster.pid}
 */
export interface PidFile {
  /** The id of the server's main process. */
  readonly pid: number;
  readonly port: number;
  /** `starting`, `ready`, `stopping`, or empty while the file is being written. */
  readonly status: string;
}

/** Reads a cluster's pid file; undefined if there is none. `port` is 0 while it is being written. */
export async function readPidFile(dataDir: string): Promise<PidFile | undefined> {
  try {
    const lines = (await Deno.readTextFile(join(dataDir, "postmaster.pid"))).split("\n");
    return {
      pid: Number(lines[0]) || NO_PID,
      port: Number(lines[3]) || 0,
      status: (lines[7] ?? "").trim(),
    };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Puts a process id that cannot exist into a stale pid file. PostgreSQL then replaces the file, as
 * after a crash. If the file were deleted, PostgreSQL could not check whether a process of the old
 * server still uses its shared memory.
 */
export async function replacePid(dataDir: string): Promise<void> {
  const path = join(dataDir, "postmaster.pid");
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, text.trim() ? text.replace(/^\d+/, `${NO_PID}`) : `${NO_PID}\n`);
}

/** Whether some process has this id, perhaps not the one that had it before. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

/** The answer of a server. */
export interface Answer {
  /**
   * `busy`: the server refuses or does not answer now. `absent`: nothing listens, or the server
   * belongs to another cluster.
   */
  readonly state: "ready" | "busy" | "absent";
  /** PostgreSQL's version; empty unless it is ready. */
  readonly version: string;
}

/** Asks whether a cluster's own server answers at a URL. */
export async function probe(url: string, dataDir: string): Promise<Answer> {
  const sql = postgres(url, { max: 1, connect_timeout: PROBE_MS / 1000, onnotice: () => {} });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<Answer>((resolve) => {
    timer = setTimeout(() => resolve({ state: "busy", version: "" }), PROBE_MS);
  });
  const asked = sql`
    select current_setting('data_directory') as folder, current_setting('server_version') as version
  `.then(
    ([{ folder, version }]): Answer => ({
      state: folder === dataDir ? "ready" : "absent",
      version,
    }),
    ({ code }): Answer => ({ state: ABSENT_CODES.includes(code) ? "absent" : "busy", version: "" }),
  );
  try {
    return await Promise.race([asked, limit]);
  } finally {
    clearTimeout(timer);
    await sql.end({ timeout: 0 });
  }
}
