import assert from "node:assert/strict";
import { startMain } from "./main.ts";

const MB = 1e6;

/** Runs `main.ts` and returns the process's peak resident memory in MB. */
export async function peakOfMain(
  args: readonly string[],
  env: Record<string, string>,
  { code: wanted = 0 } = {},
): Promise<number> {
  const child = startMain(args, env);
  let peakKb = 0;
  // The kernel's own high-water mark, as last seen before the process ended.
  const timer = setInterval(() => {
    try {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      peakKb = Math.max(peakKb, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // It has just ended.
    }
  }, 20);
  const { code, stderr } = await child.output();
  clearInterval(timer);
  assert.equal(code, wanted, `${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return peakKb * 1024 / MB;
}
