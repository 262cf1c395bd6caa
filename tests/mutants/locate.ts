/**
 * Finds the place of a fault by the name of what it is in, so that comments, formatting and the code
 * around it may change.
 *
 * @module
 */

/** A place in the source, and what is changed there. */
export interface Place {
  /** The file. */
  readonly file: string;
  /**
   * The function, method or class that the fault is in; in SQL the number of the step, as in
   * "-- 4. Write the refs". Default: the whole file.
   */
  readonly within?: string;
  /** The code to replace; white space does not matter. It is there once, unless `everywhere`. */
  readonly from: string;
  /** What stands there instead; $& is what stood there. */
  readonly to: string;
  /** True: replace each occurrence. */
  readonly everywhere?: boolean;
}

/**
 * Puts the fault into the text of its file.
 *
 * @throws {RangeError} If the place is not there, or there more than once.
 */
export function putFault(text: string, { file, within, from, to, everywhere }: Place): string {
  const [begin, end] = within === undefined ? [0, text.length] : extentOf(text, file, within);
  const part = text.slice(begin, end), pattern = patternOf(from);
  const places = part.match(pattern)?.length ?? 0;
  if (places === 0 || places > 1 && !everywhere) {
    const where = within === undefined ? file : `${within} of ${file}`;
    throw new RangeError(`Cannot put the fault: ${where} has ${from} ${places} times`);
  }
  return text.slice(0, begin) + part.replaceAll(pattern, to) + text.slice(end);
}

/** Matches code with any white space between its words and signs. */
function patternOf(code: string): RegExp {
  const tokens = code.match(/[\w$#]+|[^\w$#\s]/g)!;
  const source = tokens.reduce((before, token, i) => {
    const gap = i === 0 ? "" : [tokens[i - 1], token].every(isWord) ? "\\s+" : "\\s*";
    return before + gap + RegExp.escape(token);
  }, "");
  return new RegExp(source, "g");
}

function isWord(token: string): boolean {
  return /^[\w$#]/.test(token);
}

/** Where a declaration or a step begins and ends. */
function extentOf(text: string, file: string, within: string): [number, number] {
  const found = [
    ...text.matchAll(file.endsWith(".sql") ? stepPattern(within) : declarationPattern(within)),
  ];
  if (found.length !== 1) {
    throw new RangeError(`Cannot put the fault: ${file} has ${within} ${found.length} times`);
  }
  const [{ index, 0: all }] = found;
  return [index, index + all.length];
}

/** From a step's comment to that of the next one. */
function stepPattern(step: string): RegExp {
  return new RegExp(`^ *-- ${step}\\.[^]*?(?=^ *-- \\d+\\.|(?![^]))`, "gm");
}

/**
 * From a declaration to the closing brace in its own column: `deno fmt` puts the end of a function
 * there, and no other brace.
 */
function declarationPattern(name: string): RegExp {
  const words =
    "(?:(?:export|default|static|async|get|abstract) )*(?:(?:function\\*?|class|const) )?";
  return new RegExp(
    `^( *)${words}\\*?${RegExp.escape(name)}(?=[^\\w\\n])[^\\n]*[^;\\n]\\n[^]*?^\\1\\}[;,)]*$`,
    "gm",
  );
}
