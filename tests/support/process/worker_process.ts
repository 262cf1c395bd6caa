/**
 * Real worker processes, with no more permissions than production gives them.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(import.meta.resolve("../../../main.ts"));
/** The hashing thread is a module that is read when it starts. */
const SRC = fileURLToPath(import.meta.resolve("../../../src"));

/** A test that waits for a line longer than this waits for ever. */
const LINE_TIMEOUT_MS = 60_000;

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

/** A running `main.ts worker`. */
export interface WorkerProcess extends AsyncDisposable {
  /** Its process id. */
  readonly pid: number;
  /** What it has logged. */
  readonly lines: readonly LogLine[];
  /** Its exit status. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Waits for a line, one that is there already included. */
  line(matches: (line: LogLine) => boolean): Promise<LogLine>;
  /** Sends a signal, unless it is gone. */
  kill(signal: Deno.Signal): void;
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

/** Starts a worker; disposing kills it. */
export function startWorkerProcess(options: WorkerProcessOptions): WorkerProcess {
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
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  const over = (async () => {
    let rest = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      for (const part of parts) lines.push(parse(part));
      for (const look of waiting) look();
    }
  })();
  const kill = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It has ended.
    }
  };
  return {
    pid: child.pid,
    lines,
    status: child.status,
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
          reject(new Error(`The worker ${what}; its last lines:\n${tail}`));
        };
        const timer = setTimeout(() => fail("never said so"), LINE_TIMEOUT_MS);
        const settle = () => {
          clearTimeout(timer);
          waiting.delete(look);
        };
        waiting.add(look);
        look();
        over.then(() => waiting.has(look) && fail("ended without saying so"));
      });
    },
    kill,
    async [Symbol.asyncDispose]() {
      kill("SIGKILL");
      await Promise.all([child.status, over]);
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
