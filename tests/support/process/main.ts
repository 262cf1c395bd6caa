/**
 * `main.ts` as people run it: a process of its own.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(import.meta.resolve("../../../main.ts"));

/** How a command ended. */
export interface Ended {
  /** The exit code. */
  readonly code: number;
  /** What it printed. */
  readonly stdout: string;
  /** What it said to people. */
  readonly stderr: string;
}

/** Starts `main.ts` with `args`, and no settings of the environment but `env`. */
export function startMain(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly cwd?: string } = {},
): Deno.ChildProcess {
  const kept = ["PATH", "HOME", "DENO_DIR", "SSL_CERT_FILE"]
    .map((name) => [name, Deno.env.get(name)])
    .filter(([, value]) => value !== undefined);
  return new Deno.Command(Deno.execPath(), {
    // Types were checked before the tests; checking them again would cost seconds a start.
    args: ["run", "-A", "--quiet", "--no-check", MAIN, ...args],
    cwd: options.cwd,
    clearEnv: true,
    env: { ...Object.fromEntries(kept), NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs `main.ts` to its end. */
export async function runMain(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly cwd?: string } = {},
): Promise<Ended> {
  const { code, stdout, stderr } = await startMain(args, env, options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
