import { Cron } from "croner";
import { ConfigError } from "../../errors.ts";
import { counted } from "../../lib/numbers.ts";

/**
 * The first time after `after` that a cron expression names, in UTC.
 *
 * @param cron Five fields (minute, hour, day, month, weekday), or `@daily` and the like.
 * @throws {ConfigError} If it is no expression, or names no time to come.
 * @see {@link https://man7.org/linux/man-pages/man5/crontab.5.html | crontab(5)}
 */
export function nextTime(cron: string, after: Date): Date {
  let next: Date | null;
  const fields = cron.trim().split(/\s+/).filter(Boolean).length;
  if (fields !== 5 && !cron.trim().startsWith("@")) {
    throw new ConfigError(
      `Cannot use the cron expression ${JSON.stringify(cron.slice(0, 100))}: it has ` +
        `${counted(fields, "field")}, not five: minute, hour, day, month, weekday`,
    );
  }
  try {
    next = new Cron(cron, { timezone: "UTC", mode: "5-part" }).nextRun(after);
  } catch (error) {
    throw new ConfigError(
      `Cannot use the cron expression ${JSON.stringify(cron.slice(0, 100))}: ${
        (error as Error).message.replace(/^CronPattern: /, "")
      }`,
      { cause: error },
    );
  }
  if (next !== null) return next;
  throw new ConfigError(`Cannot use the cron expression ${JSON.stringify(cron)}: it never comes`);
}
