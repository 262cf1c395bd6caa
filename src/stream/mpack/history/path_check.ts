/**
 * Which paths a manifest may name: those that a clone can write below its own folder.
 *
 * A path is relative, and none of its parts is empty, `.` or `..`. A backslash counts as a slash
 * here, because it is one where a clone may be written.
 *
 * @module
 */

/** States of the automaton: what was read of a part of the path. 1 is one dot. */
const START = 0, TWO_DOTS = 2, INSIDE = 3, BAD = 4;
const DOT_BYTE = 0x2e;
const SEPARATORS = [0x2f, 0x5c];

/** The state before the first byte of a path. */
export const PATH_START: number = START;
/** The state after each byte: index it with `state << 8 | byte`. */
export const PATH_STATES: Uint8Array = new Uint8Array((BAD + 1) << 8);

for (let state = START; state <= BAD; state++) {
  const row = PATH_STATES.subarray(state << 8, (state + 1) << 8);
  row.fill(state === BAD ? BAD : INSIDE);
  if (state === BAD) continue;
  row[DOT_BYTE] = state < TWO_DOTS ? state + 1 : INSIDE;
  for (const byte of SEPARATORS) row[byte] = state === INSIDE ? START : BAD;
  // A NUL would end the path early in the hash of the manifest.
  row[0] = BAD;
}

/** Whether a path may end in this state. */
export function isPathEnd(state: number): boolean {
  return state === INSIDE;
}

/** Whether the bytes of `source` from `at` to `end` are a path that a manifest may name. */
export function isPathAt(source: Uint8Array, at: number, end: number): boolean {
  let state = PATH_START;
  for (; at < end; at++) state = PATH_STATES[state << 8 | source[at]];
  return isPathEnd(state);
}
