/**
 * Loaded into a worker process before anything else: its wall clock is wrong.
 *
 * @module
 */

const skewMs = Number(Deno.env.get("MPACKD_SIMULATE_SKEW_MS") ?? 0);
const RealDate = Date;
const now = () => RealDate.now() + skewMs;

globalThis.Date = new Proxy(RealDate, {
  get: (target, name) => name === "now" ? now : Reflect.get(target, name),
  construct: (target, given, newTarget) =>
    Reflect.construct(target, given.length === 0 ? [now()] : given, newTarget),
});
