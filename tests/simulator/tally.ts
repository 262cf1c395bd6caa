/**
 * A run as people read it: counts by kind, and the last events in order.
 *
 * @module
 */

const MOST_EVENTS = 400;

/** Counts and remembers. */
export class Tally {
  /** How often each kind of fault was met; what is only armed does not count. */
  readonly faults: Record<string, number> = {};
  /** Jobs that a worker took over from a dead one. */
  rescues = 0;
  /** The last events, oldest first. */
  readonly events: string[] = [];
  readonly #startedAt = performance.now();

  /** Counts a fault that took place. */
  fault(kind: string, detail = ""): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
    this.note(`fault: ${kind} ${detail}`);
  }

  /** Remembers an event. */
  note(what: string): void {
    const atMs = (performance.now() - this.#startedAt).toFixed(0).padStart(6);
    this.events.push(`${atMs} ms  ${what}`);
    if (this.events.length > MOST_EVENTS) this.events.shift();
  }
}

/** Adds counts to counts. */
export function addUp(total: Record<string, number>, more: Record<string, number>): void {
  for (const [kind, count] of Object.entries(more)) total[kind] = (total[kind] ?? 0) + count;
}
