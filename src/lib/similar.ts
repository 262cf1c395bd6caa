/**
 * Finds the name that somebody meant.
 *
 * @module
 */

/** A name with more changes than this share of its letters is another name. */
const MOST_CHANGES = 1 / 3;

/**
 * The known name that is most like the given one; undefined if none is like it. Letters that were
 * left out, added, changed or swapped count.
 */
export function mostSimilar(given: string, known: Iterable<string>): string | undefined {
  let best: string | undefined, fewest = Math.floor(given.length * MOST_CHANGES) + 1;
  for (const name of known) {
    const changes = changesBetween(given, name);
    if (changes < fewest) [best, fewest] = [name, changes];
  }
  return best;
}

/**
 * The optimal string alignment distance.
 *
 * @see {@link https://en.wikipedia.org/wiki/Damerau%E2%80%93Levenshtein_distance | the definition}
 */
function changesBetween(a: string, b: string): number {
  let before: number[] = [], last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length];
}
