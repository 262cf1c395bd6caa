/**
 * Draws a history at the left of its log, as `git log --graph` does.
 *
 * @module
 */

/** Further lanes are not drawn. */
const MAX_LANES = 24;

/** The lines of one commit: the first one has its `*`, and the last one may be repeated. */
export interface GraphLines {
  readonly lines: readonly string[];
  /** What to put before every further line of the commit's text. */
  readonly rest: string;
}

/**
 * Follows lines of history from top to bottom. Each lane waits for one commit, and the first lane that
 * waits for a commit gets it.
 */
export class Graph {
  /** The commit that each lane waits for. */
  #lanes: string[] = [];

  /** Draws the next commit, which must come before its parents. */
  draw(commitId: string, parentIds: readonly string[]): GraphLines {
    let at = this.#lanes.indexOf(commitId);
    if (at < 0) at = this.#lanes.push(commitId) - 1;
    const lines = [this.#row((lane) => lane === at ? "*" : "|")];
    const [first, second] = [...new Set(parentIds)];
    if (second !== undefined) lines.push(this.#fork(at, second));
    if (first === undefined) {
      this.#lanes.splice(at, 1);
      if (at < this.#lanes.length) lines.push(this.#shift(at));
    } else this.#lanes[at] = first;
    lines.push(...this.#joins());
    return { lines, rest: this.#row(() => "|") };
  }

  /** Opens a lane beside the commit's for its second parent. */
  #fork(at: number, parentId: string): string {
    const right = this.#lanes.length - at - 1;
    this.#lanes.splice(at + 1, 0, parentId);
    return cut("| ".repeat(at) + "|\\" + " \\".repeat(right));
  }

  /** The lanes from `at` on move to the left, where one has ended. */
  #shift(at: number): string {
    return cut("| ".repeat(at) + " /".repeat(this.#lanes.length - at));
  }

  /** Joins lanes that wait for the same commit. */
  *#joins(): Generator<string, void, undefined> {
    for (let right = 1; right < this.#lanes.length; right++) {
      const left = this.#lanes.indexOf(this.#lanes[right]);
      if (left === right) continue;
      const behind = this.#lanes.length - right - 1;
      this.#lanes.splice(right, 1);
      const between = right - left - 1;
      yield cut("| ".repeat(left) + "|" + "_|".repeat(between) + "/" + " /".repeat(behind));
      right--;
    }
  }

  #row(sign: (lane: number) => string): string {
    return cut(this.#lanes.map((_, lane) => sign(lane)).join(" "));
  }
}

function cut(line: string): string {
  return line.length > 2 * MAX_LANES ? `${line.slice(0, 2 * MAX_LANES - 2)} …` : line.trimEnd();
}
