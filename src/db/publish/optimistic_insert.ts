import type { DatabaseError } from "../../errors.ts";

const MOST_IDS = 1_000;
/** After so many groups in a row that hoped in vain, one in 63 still hopes. */
const MOST_FAILURES = 6;
const IDS = /(?:sha256:)?[0-9a-f]{64}/g;

/**
 * Ids that are likely to be known already (the empty file, a licence), as far as groups of packs
 * have met them; and whether to hope that the others are new.
 */
export class Suspects {
  readonly #ids = new Set<string>();
  #failures = 0;
  /** For how many groups not to hope. */
  #restGroups = 0;

  /** Whether the next group may take ids for new that are no suspects; to be asked once for each. */
  isHopeful(): boolean {
    if (this.#restGroups === 0) return true;
    this.#restGroups--;
    return false;
  }

  /** Whether this id may be known. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Notes that all ids of a group that were taken for new were new. */
  wasRight(): void {
    this.#failures = 0;
  }

  /**
   * Notes that an id which was no suspect is known: it is one from now on. After several such groups
   * in a row, hope pauses for twice as many each time.
   */
  wasWrong({ cause }: DatabaseError): void {
    this.#failures = Math.min(this.#failures + 1, MOST_FAILURES);
    this.#restGroups = 2 ** this.#failures - 2;
    // "Key (repo_id, object_id)=(…, …) already exists.": the object's comes last.
    const id = String((cause as { readonly detail?: unknown } | undefined)?.detail).match(IDS)?.at(
      -1,
    );
    if (id === undefined) return;
    const [oldest] = this.#ids;
    if (this.#ids.size === MOST_IDS) this.#ids.delete(oldest);
    this.#ids.add(id);
  }
}
