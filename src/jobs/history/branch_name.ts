const MAX_CHARACTERS = 255;

/**
 * Why a branch cannot have this name, as a clause; undefined if it can.
 *
 * The rules are the client's: other names could not be checked out.
 */
export function branchNameFault(name: string): string | undefined {
  if (name.length < 1 || name.length > MAX_CHARACTERS) {
    return `it has ${name.length} characters, not 1 to ${MAX_CHARACTERS}`;
  }
  // deno-lint-ignore no-control-regex -- These are what is looked for.
  if (/[\\\x00-\x1f\x7f]/.test(name)) return "it has a backslash or a control character";
  if (!name.isWellFormed()) return "it is not valid Unicode";
  if (/^\.|\.$|\.\./.test(name)) return "it has two dots in a row, or one at its start or end";
  if (/^\/|\/$|\/\//.test(name)) return "it has two slashes in a row, or one at its start or end";
}
