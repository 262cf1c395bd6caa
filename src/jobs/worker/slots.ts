/**
 * Places for running jobs, shared by the workers of one process.
 *
 * @module
 */

/**
 * How long a place may be kept for jobs that are being claimed while another worker waits for one. A
 * claim takes milliseconds; on a server that does not answer it takes until its deadline.
 */
const RESERVE_MS = 100;

/**
 * So many jobs may run at once. A worker reserves places before it claims jobs, and gives back those
 * that got none. While all places are taken, workers that want one wait; the next free place goes to
 * the one that has the fewest, and among equals to the one that has waited longest.
 */
export class Slots {
  /** Jobs at once, 1 or more. */
  readonly capacity: number;
  #free: number;
  readonly #shares = new Set<SlotShare>();
  /** In the order in which they began to wait. Empty while a place is free. */
  readonly #waiting = new Set<SlotShare>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(capacity: number) {
    this.capacity = this.#free = capacity;
  }

  /** Places that nobody has. */
  get free(): number {
    return this.#free;
  }

  /** Adds a worker. `onPlace` is called when one that waits was given a place; it must not throw. */
  share(onPlace: () => void): SlotShare {
    const share = new SlotShare(this, onPlace);
    this.#shares.add(share);
    return share;
  }

  /** Moves places between a worker and the free ones; the workers that wait get what is free then. */
  take(places: number): void {
    this.#free -= places;
    while (this.#free > 0 && this.#waiting.size > 0) {
      const [next] = [...this.#waiting].sort((a, b) => a.places - b.places);
      this.#waiting.delete(next);
      this.#free--;
      next.give();
    }
    this.#watch();
  }

  /** Lets a worker wait for a place, if none is free. */
  wait(share: SlotShare): void {
    if (this.#free > 0) return;
    this.#waiting.add(share);
    this.#watch();
  }

  stopWaiting(share: SlotShare): void {
    if (!this.#waiting.delete(share) || this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  remove(share: SlotShare): void {
    this.#shares.delete(share);
  }

  /** Workers that have or want a place, and the given one. */
  countActive(asking: SlotShare): number {
    if (this.#shares.size === 1) return 1;
    const isActive = (share: SlotShare) =>
      share === asking || share.places > 0 || this.#waiting.has(share);
    return [...this.#shares].filter(isActive).length;
  }

  /** While somebody waits, places that were reserved for long are taken back. */
  #watch(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0) return;
    if (![...this.#shares].some((share) => share.reserved > 0)) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const oldest = performance.now() - RESERVE_MS / 2;
      for (const share of this.#shares) {
        if (this.#waiting.size > 0 && share.reservedAt <= oldest) share.reserve(0);
      }
      this.#watch();
    }, RESERVE_MS);
  }
}

/** The places of one worker. */
export class SlotShare implements Disposable {
  readonly #slots: Slots;
  readonly #onPlace: () => void;
  #running = 0;
  #reserved = 0;
  /** `performance.now()` when places were last reserved. */
  reservedAt = 0;

  constructor(slots: Slots, onPlace: () => void) {
    this.#slots = slots;
    this.#onPlace = onPlace;
  }

  /** Places that it has: with a job, and reserved. */
  get places(): number {
    return this.#running + this.#reserved;
  }

  /** Places without a job yet. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Jobs that it could start now. */
  get available(): number {
    return this.#reserved + this.#slots.free;
  }

  /** What it would have if all that want places had the same number. */
  get fairPart(): number {
    return Math.ceil(this.#slots.capacity / this.#slots.countActive(this));
  }

  /** Has so many places reserved from now on, or as many as there are. */
  reserve(places: number): void {
    const reserved = Math.min(places, this.available), more = reserved - this.#reserved;
    this.#reserved = reserved;
    this.reservedAt = performance.now();
    if (more !== 0) this.#slots.take(more);
  }

  /** Starts a job, if there is a place for it. */
  start(): boolean {
    if (this.#reserved > 0) this.#reserved--;
    else if (this.#slots.free > 0) this.#slots.take(1);
    else return false;
    this.#running++;
    return true;
  }

  /** Ends a job. */
  end(): void {
    this.#running--;
    this.#slots.take(-1);
  }

  /** Waits for a place: `onPlace` is called when one is reserved for it. */
  wait(): void {
    if (this.#reserved === 0) this.#slots.wait(this);
  }

  /** Gives back what is reserved, and waits no longer. */
  giveBack(): void {
    this.#slots.stopWaiting(this);
    this.reserve(0);
  }

  /** For {@link Slots}: it waited, and has a place now. */
  give(): void {
    this.#reserved++;
    this.reservedAt = performance.now();
    this.#onPlace();
  }

  /** To be called when its jobs have ended, or are left to their leases. */
  [Symbol.dispose](): void {
    this.giveBack();
    this.#slots.remove(this);
  }
}
