const MAX_IDS = 1_000;
/** After this many conflicts in a row, only one group in 63 tries the optimistic insert. */
const MAX_CONFLICTS = 6;
const IDS = /(?:sha256:)?[0-9a-f]{64}/g;

/**
 * Decides which ids of small packs are looked up before they are inserted.
 *
 * A conflict check is a third of an insert's work, and few ids of small packs are known. So only ids
 * that were found known before are looked up (the empty file, a licence), and the others inserted
 * without a check. If one of those is known after all, the server undoes the insert and checks all.
 */
export class OptimisticInsert {
  readonly #ids = new Set<string>();
  #conflicts = 0;
  /** How many groups have to pass before the next one tries. */
  #pausedGroups = 0;

  /** Whether the next group tries; ask once for each group. */
  isDue(): boolean {
    if (this.#pausedGroups === 0) return true;
    this.#pausedGroups--;
    return false;
  }

  /** Whether this id was found known before. */
  mayBeKnown(id: string): boolean {
    return this.#ids.has(id);
  }

  /**
   * Learns how an optimistic insert ended. After a few conflicts in a row, each one doubles the pause.
   *
   * @param conflict The server's message that names a known key; none if there was no conflict.
   */
  learn(conflict: string | null | undefined): void {
    if (!conflict) {
      this.#conflicts = 0;
      return;
    }
    this.#conflicts = Math.min(this.#conflicts + 1, MAX_CONFLICTS);
    this.#pausedGroups = 2 ** this.#conflicts - 2;
    // "Key (repo_id, object_id)=(…, …) already exists.": the object's id comes last.
    const id = conflict.match(IDS)?.at(-1);
    if (id === undefined) return;
    const [oldest] = this.#ids;
    if (this.#ids.size === MAX_IDS) this.#ids.delete(oldest);
    this.#ids.add(id);
  }
}
