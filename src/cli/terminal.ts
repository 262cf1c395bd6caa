/**
 * Formats sizes and times, and shows progress on one line.
 *
 * @module
 */

import { grouped } from "../lib/numbers.ts";
import { showControls, tell, tellRaw } from "./output.ts";

export { counted } from "../lib/numbers.ts";

const LINE_INTERVAL_MS = 100;
/** Between two lines of progress in a log. Short work leaves none. */
const LOG_INTERVAL_MS = 30_000;
const TICK_MS = 1_000;

/** `1.2 GB`, `34.5 MB`, `678 B`: decimal units, as disks and networks count. */
export function formatBytes(sizeBytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (sizeBytes >= 1000 && power < units.length - 1) {
    sizeBytes /= 1000;
    power++;
  }
  return `${power === 0 ? sizeBytes : sizeBytes.toFixed(sizeBytes < 10 ? 2 : 1)} ${units[power]}`;
}

/** `480 ms`, `12.3 s`, `4 m 05 s`, `2 h 03 m`. */
export function formatMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) {
    return `${minutes} m ${String(Math.floor(ms / 1000) % 60).padStart(2, "0")} s`;
  }
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} m`;
}

/** `12,345`. */
export function formatCount(count: number): string {
  return grouped(count);
}

/** The progress of one step. */
export interface Step {
  /** The step in one word: `upload`, `index`. */
  readonly label: string;
  /** Bytes done; undefined for a step that is not about bytes. */
  readonly bytes?: number;
  /** Bytes in total; 0 while unknown. */
  readonly sizeBytes?: number;
  /** More text: `1,234 objects`. */
  readonly note?: string;
}

/** Where progress goes. */
interface LiveLineOptions {
  /** Default: whether stderr is a terminal. */
  readonly isTerminal?: boolean;
  /** Milliseconds of a clock. Default: `performance.now()`. */
  readonly now?: () => number;
}

/** One line on stderr that is overwritten. Where that is no terminal, a line every 30 seconds. */
export class LiveLine {
  readonly #isTerminal: boolean;
  readonly #now: () => number;
  #label = "";
  #startedAt = 0;
  #startBytes = 0;
  #shownAt = -Infinity;
  #loggedAt: number;

  constructor(
    { isTerminal = Deno.stderr.isTerminal(), now = () => performance.now() }: LiveLineOptions = {},
  ) {
    this.#isTerminal = isTerminal;
    this.#now = now;
    this.#loggedAt = now();
  }

  /** Shows a step, at most ten times a second, or twice a minute in a log. */
  show(step: Step): void {
    const now = this.#now();
    const isNew = step.label !== this.#label;
    if (isNew) {
      this.#label = step.label;
      this.#startedAt = now;
      this.#startBytes = step.bytes ?? 0;
    }
    if (!this.#isTerminal) {
      if (now - this.#loggedAt < LOG_INTERVAL_MS) return;
      this.#loggedAt = now;
      return tell(this.#text(step, now));
    }
    if (!isNew && now - this.#shownAt < LINE_INTERVAL_MS) return;
    this.#shownAt = now;
    this.#write(this.#text(step, now));
  }

  /** Shows, every second, what `step()` says and for how long the work has run. */
  async during<T>(step: () => Step, work: () => Promise<T>): Promise<T> {
    const startedAt = this.#now();
    const timer = setInterval(() => {
      const { note, ...rest } = step(), took = formatMs(this.#now() - startedAt);
      this.show({ ...rest, note: note === undefined ? took : `${note}  ${took}` });
    }, TICK_MS);
    try {
      return await work();
    } finally {
      clearInterval(timer);
      this.clear();
    }
  }

  /** Removes the line. */
  clear(): void {
    if (this.#isTerminal && this.#shownAt > 0) this.#write("");
    this.#shownAt = -Infinity;
    this.#label = "";
  }

  #text({ label, bytes, sizeBytes = 0, note }: Step, now: number): string {
    if (bytes === undefined) return note === undefined ? label : `${label}  ${note}`;
    const elapsedMs = now - this.#startedAt;
    const perMs = elapsedMs > 0 ? (bytes - this.#startBytes) / elapsedMs : 0;
    const parts = [
      sizeBytes > 0
        ? `${label} ${formatBytes(bytes)} of ${formatBytes(sizeBytes)} ${
          Math.floor(100 * bytes / sizeBytes)
        }%`
        : `${label} ${formatBytes(bytes)}`,
    ];
    if (perMs > 0) parts.push(`${(perMs / 1000).toFixed(1)} MB/s`);
    if (note) parts.push(note);
    if (perMs > 0 && sizeBytes > bytes) {
      parts.push(`${formatMs((sizeBytes - bytes) / perMs)} left`);
    }
    return parts.join("  ");
  }

  #write(line: string): void {
    const { columns } = consoleSize();
    tellRaw(`\r\x1b[K${showControls(line.slice(0, columns - 1))}`);
  }
}

/** The columns of the terminal that stdout is; undefined if it is none. */
export function terminalWidth(): number | undefined {
  return Deno.stdout.isTerminal() ? consoleSize().columns : undefined;
}

function consoleSize(): { columns: number } {
  try {
    const { columns } = Deno.consoleSize();
    // A terminal that nobody has given a size has 0.
    return { columns: columns > 0 ? columns : 80 };
  } catch {
    return { columns: 80 };
  }
}
