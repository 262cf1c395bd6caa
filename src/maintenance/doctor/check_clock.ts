import { type Check, failure, ok, warning } from "./check.ts";

/** Presigned URLs and signatures last minutes, so a second does no harm. */
const WARN_MS = 5_000;
/** S3 engines and `serve` refuse signatures that are off by 15 minutes; half of it is too near. */
const FAIL_MS = 7 * 60_000;

/** Less is shown as nothing. */
const SHOWN_MS = 100;

/** A look at another clock, with the times of this machine around it, in milliseconds. */
export interface ClockReading {
  /** Before the question was sent. */
  readonly sentAt: number;
  /** After the answer came. */
  readonly answeredAt: number;
  /** What the other clock said. */
  readonly otherAt: number;
  /** How coarse it is. S3 names whole seconds. Default 0. */
  readonly resolutionMs?: number;
}

/** Compares a clock with that of this machine. The difference is what cannot be delay. */
export function checkClock(name: string, reading: ClockReading): Check {
  const { sentAt, answeredAt, otherAt, resolutionMs = 0 } = reading;
  const aheadMs = Math.max(0, otherAt - answeredAt);
  const behindMs = Math.max(0, sentAt - (otherAt + resolutionMs));
  const differenceMs = Math.max(aheadMs, behindMs);
  const found = differenceMs < SHOWN_MS
    ? "the same as here"
    : `${(differenceMs / 1000).toFixed(1)} s ${aheadMs > 0 ? "ahead of" : "behind"} this machine`;
  const next = "synchronize both clocks (chrony, systemd-timesyncd)";
  if (differenceMs >= FAIL_MS) return failure(name, found, next);
  return differenceMs >= WARN_MS ? warning(name, found, next) : ok(name, found);
}
