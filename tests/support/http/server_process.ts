/**
 * `mpackd serve` as a process of its own, and what an attack does to it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createFixture, type TestFixture } from "../process/fixture.ts";

const encoder = new TextEncoder();
const path = (relative: string) => new URL(relative, import.meta.url).pathname;
const MAIN = path("../../../main.ts");
const WATCHDOG = path("watchdog.ts");

/** A running server. */
export interface ServerProcess extends AsyncDisposable {
  readonly fixture: TestFixture;
  readonly url: string;
  readonly pid: number;
  /** The bearer token of an admin, until there is an identity. */
  readonly openToken: string;
  /** All lines of its log so far. */
  log(): string;
  /** Peak resident memory since its start, in MiB. */
  peakMib(): Promise<number>;
  /** The longest hold of its event loop since the last call, in milliseconds of processor time. */
  longestHoldMs(): Promise<number>;
  /** Sends SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Sends SIGTERM; returns the exit code. */
  stop(): Promise<number>;
  /** Asserts that it still answers, and that its log has no error line. */
  assertUnharmed(): Promise<void>;
}

export interface ServerOptions {
  /** What it works on, kept when it ends. Default: a database and a folder of its own. */
  readonly fixture?: TestFixture;
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
  /** Default true: no identity is needed, see `openToken`. */
  readonly isOpen?: boolean;
  /** The most files that it may open. */
  readonly maxFiles?: number;
}

/** Starts a server; dispose of it. */
export async function startServer(
  { fixture: given, env = {}, args = [], isOpen = true, maxFiles = 4_096 }: ServerOptions = {},
): Promise<ServerProcess> {
  const fixture = given ?? await createFixture();
  const holds = await Deno.makeTempFile({ prefix: "mpackd-test-" });
  const child = new Deno.Command("bash", {
    args: [
      ...["-c", `ulimit -n ${maxFiles} && exec "$@"`, "bash", Deno.execPath()],
      ...["run", "-A", "--quiet", "--no-check", "--preload", WATCHDOG, MAIN],
      ...["serve", "--port", "0", ...(isOpen ? ["--open"] : []), ...args],
    ],
    env: {
      DATABASE_URL: fixture.databaseUrl,
      MPACK_STORE: `file://${fixture.folder}`,
      MPACK_HTTP_REQUESTS_PER_MINUTE: "1000000",
      WATCHDOG_FILE: holds,
      NO_COLOR: "1",
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let log = "";
  const listening = Promise.withResolvers<string>();
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const [, url] = /Listening on (http:\/\/[^\s;"]+)/.exec(log += text) ?? [];
      if (url !== undefined) listening.resolve(url);
    }
    listening.reject(new Error(`The server did not start: ${log}`));
  })();
  listening.promise.catch(() => {});
  const token = Promise.withResolvers<string>();
  const output = (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const [found] = /mpk_open_\S+/.exec(text) ?? [];
      if (found !== undefined) token.resolve(found);
    }
  })().catch(() => {});
  const { pid } = child;
  const status = async (name: string) => {
    const text = await Deno.readTextFile(`/proc/${pid}/status`);
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)![1]);
  };
  if (!isOpen) token.resolve("");
  const url = await listening.promise, openToken = await token.promise;
  return {
    fixture,
    url,
    pid,
    openToken,
    log: () => log,
    peakMib: async () => await status("VmHWM") / 1024,
    async longestHoldMs() {
      const text = await Deno.readTextFile(holds);
      await Deno.truncate(holds);
      return Math.max(0, ...text.split("\n").map(Number));
    },
    async assertUnharmed() {
      const { status } = await readAll(await fetch(`${url}/healthz`));
      assert.equal(status, 200);
      // The last line may not be whole yet.
      const bad = log.split("\n").slice(0, -1).find((line) => !isHarmless(line));
      assert.equal(bad, undefined);
    },
    async kill() {
      child.kill("SIGKILL");
      await child.status;
    },
    async stop() {
      child.kill("SIGTERM");
      return (await child.status).code;
    },
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGTERM");
      } catch {
        // It is dead already; the test has seen that.
      }
      await Promise.all([child.status, reading.catch(() => {}), output]);
      await Deno.remove(holds);
      if (given === undefined) await fixture[Symbol.asyncDispose]();
    },
  };
}

async function readAll(response: Response): Promise<Response> {
  await response.arrayBuffer();
  return response;
}

/** Longest hold of the event loop that any request may cause, in milliseconds. */
export const MAX_HOLD_MS = 100;

/**
 * Asserts that `attack` never holds the event loop for long. A busy machine only adds time, so the
 * best of five tries counts.
 */
export async function assertNoHold(
  server: ServerProcess,
  attack: () => Promise<unknown>,
): Promise<void> {
  let best = Infinity;
  await server.longestHoldMs();
  for (let i = 0; i < 5 && best > MAX_HOLD_MS; i++) {
    await attack();
    // One more turn of the loop, in which the watchdog writes.
    await (await fetch(`${server.url}/healthz`)).arrayBuffer();
    best = Math.min(best, await server.longestHoldMs());
  }
  assert.ok(best <= MAX_HOLD_MS, `the event loop was held for ${Math.round(best)} ms`);
}

/** Sends raw bytes, and reads what comes back until the server closes the connection. */
export async function sendRaw(url: string, bytes: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const sending = (async () => {
    const data = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    for (let at = 0; at < data.length;) at += await connection.write(data.subarray(at));
  })().catch(() => {});
  let text = "";
  const buffer = new Uint8Array(65536);
  try {
    for (let count; (count = await connection.read(buffer)) !== null;) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  } catch {
    // A reset ends the answer, too.
  }
  await sending;
  return text;
}

/** A refusal is logged, but nothing that is worse, and no text of Deno's own. */
function isHarmless(line: string): boolean {
  try {
    const { level, error } = JSON.parse(line);
    return (level === "debug" || level === "info" || level === "warning") && error === undefined;
  } catch {
    return false;
  }
}
