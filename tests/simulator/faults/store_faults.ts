/**
 * What a store does to requests: faults drawn beforehand, met by the requests that come.
 *
 * @module
 */

import type { Fault, SeenRequest } from "../../support/store/fault_proxy.ts";
import type { Random } from "../../fuzz/random.ts";
import type { Tally } from "../tally.ts";

/** The kinds. "short" and "wrong" are answers that look complete and are not. */
export const STORE_FAULTS = [
  "refused",
  "500",
  "503",
  "429",
  "cut",
  "reset",
  "stalled",
  "silent",
  "short",
  "wrong",
  "swapped",
  "changed",
  "slow",
] as const;
type StoreFault = typeof STORE_FAULTS[number];

interface Armed {
  readonly kind: StoreFault;
  /** Where in the body, from 0 to 1. */
  readonly at: number;
  /** Requests that pass before. */
  passing: number;
}

const MOST_PASSING = 6;

/** The faults of one store. */
export class StoreFaults {
  readonly #tally: Tally;
  readonly #sizeOf: (target: string) => number | undefined;
  readonly #armed: Armed[] = [];
  readonly #falsified = new Set<string>();

  /** `sizeOf` knows the length of a pack from its path, and nothing of other requests. */
  constructor(tally: Tally, sizeOf: (target: string) => number | undefined) {
    this.#tally = tally;
    this.#sizeOf = sizeOf;
  }

  /** Draws a fault, for one of the next requests. */
  arm(random: Random): void {
    const kind = random.pick(STORE_FAULTS);
    this.#armed.push({ kind, at: random.below(1000) / 1000, passing: random.below(MOST_PASSING) });
  }

  /** No more faults. */
  disarm(): void {
    this.#armed.length = 0;
  }

  /** What becomes of a request. */
  readonly next = ({ method, target, headers }: SeenRequest): Fault => {
    const sizeBytes = method === "GET" ? this.#sizeOf(target) : undefined;
    if (sizeBytes === undefined) return {};
    const isPinned = headers.has("if-match");
    for (const armed of this.#armed) armed.passing--;
    const due = this.#armed.findIndex((armed) =>
      armed.passing < 0 && this.#isFitting(armed.kind, target, isPinned)
    );
    if (due === -1) return {};
    const [{ kind, at }] = this.#armed.splice(due, 1);
    this.#tally.fault(`store ${kind}`, `${(100 * at).toFixed(0)}% of ${target.slice(-80, -50)}`);
    return faultOf(kind, Math.floor(at * sizeBytes));
  };

  /**
   * Of one pack the store tells one lie of each kind. Told the same twice, mpackd believes it, for
   * it cannot know better: two readings that agree are the pack.
   */
  #isFitting(kind: StoreFault, target: string, isPinned: boolean): boolean {
    if (kind === "changed") return isPinned;
    // An answer with another name, of which every byte arrives, would be believed, and rightly.
    if (kind === "swapped") return !isPinned;
    if (kind !== "short" && kind !== "wrong") return true;
    const name = `${kind} ${new URL(target, "http://store").pathname}`;
    if (isPinned || this.#falsified.has(name)) return false;
    this.#falsified.add(name);
    return true;
  }
}

function faultOf(kind: StoreFault, atByte: number): Fault {
  switch (kind) {
    case "refused":
      return { isRefused: true };
    case "500":
    case "503":
    case "429":
      return { status: Number(kind) };
    case "cut":
    case "reset":
      return { afterBytes: atByte, then: kind };
    case "stalled":
      return { afterBytes: atByte, then: "stall" };
    case "silent":
      return { isSilent: true };
    case "short":
      return { headers: { "content-length": String(atByte) }, afterBytes: atByte, then: "cut" };
    case "wrong":
      return { flipAtByte: atByte };
    case "swapped":
      return { headers: { etag: '"another"' }, afterBytes: atByte, then: "cut" };
    case "changed":
      return { status: 412 };
    case "slow":
      return { chunkDelayMs: 20 };
  }
}
