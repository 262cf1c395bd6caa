/**
 * A `main.ts` that is watched from outside, stopped where a test wants it, and killed. Linux only.
 *
 * @module
 */

import { startMain } from "./main.ts";

/** How often to look, in milliseconds: a look may cost a statement. */
const LOOK_MS = 5;

/** A process on its way to being killed; disposing kills it. */
export interface Victim extends AsyncDisposable {
  /** How far a file is read that it has open; undefined while it has not. */
  positionOf(path: string): number | undefined;
  /**
   * Stops it, with all its threads, as soon as `isTime` says so.
   *
   * @returns False if it ended first.
   */
  stopWhen(isTime: () => boolean | Promise<boolean>): Promise<boolean>;
  /** Kills it with SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Waits for its own end: what it printed, and its exit code. */
  readonly ended: Promise<{ code: number; stdout: string; stderr: string }>;
}

/** Starts `main.ts` with `args`, and no settings of the environment but `env`. */
export function startVictim(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Victim {
  const child = startMain(args, env), folder = `/proc/${child.pid}`;
  let isOver = false;
  const ended = child.output().then(({ code, stdout, stderr }) => {
    isOver = true;
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  });
  const kill = async () => {
    if (!isOver) child.kill("SIGKILL");
    await ended;
  };
  return {
    ended,
    kill,
    positionOf: (path) => positionOf(folder, path),
    async stopWhen(isTime) {
      while (!await isTime()) {
        if (isOver) return false;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      if (isOver) return false;
      child.kill("SIGSTOP");
      while (!isStopped(folder)) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        if (isOver) return false;
      }
      return true;
    },
    [Symbol.asyncDispose]: kill,
  };
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
    // It has ended, or closed the file meanwhile.
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

/** Whether every thread is: one that still runs may still send a statement. */
function isStopped(folder: string): boolean {
  try {
    return [...Deno.readDirSync(`${folder}/task`)].every(({ name }) =>
      / [TZ] /.test(Deno.readTextFileSync(`${folder}/task/${name}/stat`).replace(/\(.*\)/, ""))
    );
  } catch {
    return false;
  }
}
