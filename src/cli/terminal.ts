/**
 * Formats sizes and times, and shows progress on one line.
 *
 * @module
 */

import { grouped } from "../lib/numbers.ts";
import { showControls, tellRaw } from "./output.ts";

export { counted } from "../lib/numbers.ts";

const LINE_INTERVAL_MS = 100;

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
  /** Bytes done. */
  readonly bytes: number;
  /** Bytes in total; 0 while unknown. */
  readonly sizeBytes: number;
  /** More text: `1,234 objects`. */
  readonly note?: string;
}

/** One line on stderr that is overwritten. Shows nothing if stderr is not a terminal. */
export class LiveLine {
  readonly #isShown: boolean;
  #label = "";
  #startedAt = 0;
  #startBytes = 0;
  #shownAt = -Infinity;

  /** With `isShown` false nothing is written. Default: whether stderr is a terminal. */
  constructor(isShown: boolean = Deno.stderr.isTerminal()) {
    this.#isShown = isShown;
  }

  /** Shows a step, at most ten times a second. */
  show(step: Step): void {
    if (!this.#isShown) return;
    const now = performance.now();
    if (step.label !== this.#label) {
      this.#label = step.label;
      this.#startedAt = now;
      this.#startBytes = step.bytes;
    } else if (now - this.#shownAt < LINE_INTERVAL_MS) return;
    this.#shownAt = now;
    this.#write(this.#text(step, now));
  }

  /** Removes the line. */
  clear(): void {
    if (this.#isShown && this.#shownAt > 0) this.#write("");
    this.#label = "";
  }

  #text({ label, bytes, sizeBytes, note }: Step, now: number): string {
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
    return Deno.consoleSize();
  } catch {
    return { columns: 80 };
  }
}
