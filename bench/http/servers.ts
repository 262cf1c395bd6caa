/**
 * Servers as processes of their own, with their processor time.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(import.meta.resolve("../../main.ts"));
const BARE = fileURLToPath(import.meta.resolve("./bare.ts"));
/** Linux counts processor time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

/** A running server. */
export interface Server extends AsyncDisposable {
  /** Its URL. */
  readonly url: string;
  /** Processor time it has taken so far, of all its threads. */
  cpuSeconds(): Promise<number>;
  /** The most memory it has had so far. */
  peakBytes(): Promise<number>;
}

/** Starts `main.ts serve`; with `profile`, it writes a CPU profile into that folder at its end. */
export function startApi(env: Record<string, string>, profile?: string): Promise<Server> {
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  return start(["run", "-A", "--quiet", ...profiling, MAIN, "serve", "--port", "0"], env);
}

/** Starts the bare server. */
export function startBare(args: readonly string[], env: Record<string, string>): Promise<Server> {
  return start(["run", "-A", "--quiet", BARE, ...args], env);
}

/** Starts a server and waits for the line that says where. */
async function start(args: string[], env: Record<string, string>): Promise<Server> {
  const child = new Deno.Command(Deno.execPath(), { args, env, stdout: "null", stderr: "piped" })
    .spawn();
  const [texts, rest] = child.stderr.tee();
  rest.pipeTo(new WritableStream()).catch(() => {});
  let seen = "";
  for await (const text of texts.pipeThrough(new TextDecoderStream())) {
    const [, url] = /Listening on (http:\/\/[\d.:]+)/.exec(seen += text) ?? [];
    if (url === undefined) continue;
    return {
      url,
      async cpuSeconds() {
        const text = await Deno.readTextFile(`/proc/${child.pid}/stat`);
        const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
        return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
      },
      async peakBytes() {
        const text = await Deno.readTextFile(`/proc/${child.pid}/status`);
        return 1024 * Number(/^VmHWM:\s*(\d+) kB/m.exec(text)![1]);
      },
      async [Symbol.asyncDispose]() {
        child.kill("SIGTERM");
        await child.status;
      },
    };
  }
  throw new Error(`Cannot start a server: ${seen}`);
}
