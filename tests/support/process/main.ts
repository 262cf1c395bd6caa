/**
 * Runs the command line in a process of its own.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(import.meta.resolve("../../../main.ts"));

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to start a command. */
export interface StartOptions {
  readonly cwd?: string;
  /** Default: nothing to read. */
  readonly stdin?: "piped" | "null";
  /** A program that starts the command given as its arguments: `sh -c '"$@" > file' sh`. */
  readonly through?: readonly string[];
}

/** Starts a command. Only the settings of `env` are set. */
export function startMain(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  { cwd, stdin = "null", through = [] }: StartOptions = {},
): Deno.ChildProcess {
  const kept = ["PATH", "HOME", "DENO_DIR", "SSL_CERT_FILE"]
    .map((name) => [name, Deno.env.get(name)])
    .filter(([, value]) => value !== undefined);
  // Types are checked before the tests. Checking them at each start would take seconds.
  const line = [...through, Deno.execPath(), "run", "-A", "--quiet", "--no-check", MAIN, ...args];
  return new Deno.Command(line[0], {
    args: line.slice(1),
    cwd,
    clearEnv: true,
    env: { ...Object.fromEntries(kept), NO_COLOR: "1", ...env },
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs a command to its end. */
export async function runMain(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: StartOptions = {},
): Promise<Ended> {
  const { code, stdout, stderr } = await startMain(args, env, options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
