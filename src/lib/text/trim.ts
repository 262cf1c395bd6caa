/**
 * Cuts characters off a text in linear time: `/x+$/` takes quadratic time for "xxxx…y".
 *
 * @module
 */

/** Cuts all of `characters` off the end. */
export function trimEndOf(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1])) end--;
  return text.slice(0, end);
}

/** Cuts all of `characters` off both ends. */
export function trimOf(text: string, characters: string): string {
  const cut = trimEndOf(text, characters);
  let start = 0;
  while (start < cut.length && characters.includes(cut[start])) start++;
  return cut.slice(start);
}
