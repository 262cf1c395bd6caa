/**
 * Other processes, with their time and the most memory they took.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

/** How a process went. */
export interface ProcessRun {
  /** From its start to its end. */
  readonly seconds: number;
  /** From its start to the first byte on stdout. */
  readonly firstByteMs: number;
  /** The kernel's high-water mark of its resident memory. */
  readonly peakBytes: number;
  /** What it printed. */
  readonly stdout: string;
}

const MAIN = fileURLToPath(import.meta.resolve("../../main.ts"));
const SAMPLE_MS = 20;

/**
 * Runs a process to its end.
 *
 * @throws {Error} With what it said on stderr, if it fails.
 */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; isMeasured?: boolean } = {},
): Promise<ProcessRun> {
  const { env, cwd, isMeasured = true } = options;
  const startedAt = performance.now();
  const child = new Deno.Command(command, {
    args: [...args],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
    cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let peakKb = 0;
  const timer = isMeasured && Deno.build.os === "linux"
    ? setInterval(() => {
      try {
        const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
        peakKb = Math.max(peakKb, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
      } catch {
        // It has just ended.
      }
    }, SAMPLE_MS)
    : undefined;
  let firstByteMs = NaN, stdout = "";
  const reading = (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (stdout === "") firstByteMs = performance.now() - startedAt;
      stdout += text;
    }
  })();
  const [stderr, status] = await Promise.all([
    new Response(child.stderr).text(),
    child.status,
    reading,
  ]);
  clearInterval(timer);
  if (!status.success) {
    throw new Error(`${command} ${args[0]} ended with ${status.code}: ${stderr.slice(-2000)}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, firstByteMs, peakBytes: peakKb * 1024, stdout };
}

/** Runs `main.ts` as a user would, types unchecked as `deno run` leaves them. */
export function runMain(
  args: readonly string[],
  env: Record<string, string>,
  isMeasured = true,
): Promise<ProcessRun> {
  const allowed = ["env", "net", "read", "write", "run", "sys"].map((what) => `--allow-${what}`);
  return runProcess(Deno.execPath(), ["run", "--quiet", ...allowed, MAIN, ...args], {
    env,
    isMeasured,
  });
}
