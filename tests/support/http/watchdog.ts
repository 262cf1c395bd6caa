/**
 * Preloaded into a server under test: appends each hold of the event loop to `WATCHDOG_FILE`, as
 * milliseconds of the thread's processor time. Unlike the clock, that does not count other programs.
 *
 * @module
 */

const LEAST_MS = 20;
const TICK_MS = 2;

function threadMs(): number {
  return Number(Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ")[0]) / 1e6;
}

const path = Deno.env.get("WATCHDOG_FILE")!;
let last = threadMs();
const timer = setInterval(() => {
  const now = threadMs();
  if (now - last >= LEAST_MS) {
    Deno.writeTextFileSync(path, `${(now - last).toFixed(1)}\n`, { append: true, create: true });
  }
  last = threadMs();
}, TICK_MS);
Deno.unrefTimer(timer);
