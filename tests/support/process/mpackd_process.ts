/**
 * `main.ts` in a process of its own: its log is read, it is stopped where a test wants it, and killed.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type Ended, startMain } from "./main.ts";
import { until } from "../until.ts";

const MAIN = fileURLToPath(import.meta.resolve("../../../main.ts"));
/** The hashing thread is a module that is read when it starts. */
const SRC = fileURLToPath(import.meta.resolve("../../../src"));

const LINE_TIMEOUT_MS = 60_000;
/** How often stopWhen() asks, in milliseconds: the question may be a database statement. */
const LOOK_MS = 5;

/** A line that a worker logged. */
export interface LogLine {
  /** What it says. */
  readonly message: string;
  /** The job it is about. */
  readonly job_id?: string;
  /** How an attempt ended. */
  readonly outcome?: string;
  /** Everything else. */
  readonly [property: string]: unknown;
}

/** A running `main.ts`; disposing kills it. */
export interface MpackdProcess extends AsyncDisposable {
  /** Its process id. */
  readonly pid: number;
  /** What it has logged. */
  readonly lines: readonly LogLine[];
  /** Its exit status. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Its exit code and all that it printed, once it has ended. */
  readonly ended: Promise<Ended>;
  /** Waits for a line of its log; also finds one that is already there. */
  line(matches: (line: LogLine) => boolean): Promise<LogLine>;
  /** Sends a signal, unless the process has ended. */
  kill(signal: Deno.Signal): void;
  /** Linux: how far it has read a file; undefined if the file is not open. */
  positionOf(path: string): number | undefined;
  /**
   * Linux: stops the process with all its threads as soon as `isTime` returns true.
   *
   * @returns False if it ended first.
   */
  stopWhen(isTime: () => boolean | Promise<boolean>): Promise<boolean>;
}

/** How to start one. */
export interface WorkerProcessOptions {
  /** The database. */
  readonly databaseUrl: string;
  /** The folder store. */
  readonly folder: string;
  /** The command. Default `worker`. */
  readonly command?: "worker" | "serve";
  /** More arguments. */
  readonly args?: readonly string[];
  /** More settings. */
  readonly env?: Readonly<Record<string, string>>;
  /** A module to run first. */
  readonly preload?: string;
}

/** Starts a worker or a server with the permissions that production gives it. */
export function startWorkerProcess(options: WorkerProcessOptions): MpackdProcess {
  const { databaseUrl, folder, command = "worker", args = [], env = {}, preload } = options;
  const permissions = [
    "--no-prompt",
    "--allow-env",
    "--allow-net=127.0.0.1",
    "--allow-sys=hostname",
    `--allow-read=${SRC},${folder}`,
    `--allow-write=${folder}`,
  ];
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      ...permissions,
      ...(preload === undefined ? [] : ["--preload", preload]),
      MAIN,
      command,
      ...args,
    ],
    env: {
      DATABASE_URL: databaseUrl,
      MPACK_STORE: `file://${folder}`,
      NO_COLOR: "1",
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return watch(child);
}

/** Starts `main.ts` with all permissions and no settings of the environment but `env`. */
export function startProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): MpackdProcess {
  return watch(startMain(args, env));
}

function watch(child: Deno.ChildProcess): MpackdProcess {
  const proc = `/proc/${child.pid}`, lines: LogLine[] = [], waiting = new Set<() => void>();
  let stderr = "", rest = "", isOver = false;
  const readLog = async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += text;
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      for (const part of parts) lines.push(parse(part));
      for (const look of waiting) look();
    }
  };
  const ended = Promise.all([child.status, new Response(child.stdout).text(), readLog()])
    .then(([{ code }, stdout]) => {
      isOver = true;
      return { code, stdout, stderr };
    });
  const kill = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // The process has ended.
    }
  };
  return {
    pid: child.pid,
    lines,
    status: child.status,
    ended,
    kill,
    line(matches) {
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find(matches);
          if (found === undefined) return;
          settle();
          resolve(found);
        };
        const fail = (what: string) => {
          settle();
          const tail = lines.slice(-5).map((line) => JSON.stringify(line)).join("\n");
          reject(new Error(`The process ${what}; its last lines:\n${tail}`));
        };
        const timer = setTimeout(() => fail("did not log the line in time"), LINE_TIMEOUT_MS);
        const settle = () => {
          clearTimeout(timer);
          waiting.delete(look);
        };
        waiting.add(look);
        look();
        ended.then(() => waiting.has(look) && fail("ended without the line"));
      });
    },
    positionOf: (path) => positionOf(proc, path),
    async stopWhen(isTime) {
      const options = { everyMs: LOOK_MS, found: () => lines.slice(-5) };
      await until("it is time to stop", async () => await isTime() || isOver, options);
      if (isOver) return false;
      kill("SIGSTOP");
      await until("its threads have stopped", () => isStopped(proc) || isOver, options);
      return !isOver;
    },
    async [Symbol.asyncDispose]() {
      kill("SIGKILL");
      await ended;
    },
  };
}

function parse(text: string): LogLine {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text };
  }
}

function positionOf(folder: string, path: string): number | undefined {
  try {
    for (const { name } of Deno.readDirSync(`${folder}/fd`)) {
      if (linkOf(`${folder}/fd/${name}`) !== path) continue;
      const [, position] = /^pos:\s+(\d+)/.exec(
        Deno.readTextFileSync(`${folder}/fdinfo/${name}`),
      ) ?? [];
      return Number(position);
    }
  } catch {
    // The process has ended, or has closed the file.
  }
  return undefined;
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}

/** Whether every thread has stopped: one that still runs may still send a statement. */
function isStopped(folder: string): boolean {
  try {
    return [...Deno.readDirSync(`${folder}/task`)].every(({ name }) =>
      / [TZ] /.test(Deno.readTextFileSync(`${folder}/task/${name}/stat`).replace(/\(.*\)/, ""))
    );
  } catch {
    return false;
  }
}
