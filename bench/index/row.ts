/**
 * One line of the bench: what was measured, against what, and whether that is enough.
 *
 * @module
 */

/** What a row has to reach; no aim: it is only reported. */
export type Aim = { readonly atLeast: number } | { readonly atMost: number };

/** A measured ratio. */
export interface Row {
  /** What was measured. */
  readonly what: string;
  /** Our figure, with its unit. */
  readonly ours: string;
  /** The other side's name and figure. */
  readonly against: string;
  /** The figure that the aim is about: a ratio unless `unit` says otherwise. */
  readonly value: number;
  /** Unit of `value`; none for a ratio. */
  readonly unit?: "ms" | "ms more" | "MB" | "MB/s" | "bytes" | "a job";
  /** What it has to reach. */
  readonly aim?: Aim;
}

/** The rows of one part of the bench, or why there are none. */
export interface Part {
  /** Its name, as `--only` knows it. */
  readonly name: string;
  /** What it measured. */
  readonly rows: readonly Row[];
  /** Why rows are missing. */
  readonly missing?: string;
  /** Figures behind the rows, for `--json`. */
  readonly details?: unknown;
}

/** Whether the aim is reached; undefined without one. */
export function passes({ value, aim }: Row): boolean | undefined {
  if (aim === undefined) return undefined;
  return "atLeast" in aim ? value >= aim.atLeast : value <= aim.atMost;
}

/** The aim in words. */
export function aimText({ aim, unit }: Row): string {
  if (aim === undefined) return "";
  const figure = "atLeast" in aim ? `≥ ${aim.atLeast}` : `≤ ${aim.atMost}`;
  return unit === undefined ? figure : `${figure} ${unit}`;
}

/** `1.23`, `152 ms more`. */
export function valueText({ value, unit }: Row): string {
  const digits = unit === undefined || unit === "a job" ? 2 : 0;
  return `${value.toFixed(digits)} ${unit ?? ""}`.trimEnd();
}

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const head = ["what", "mpackd", "against", "ratio", "aim", ""];
  const lines = rows.map((row) => {
    const pass = passes(row);
    const verdict = pass === undefined ? "" : pass ? "pass" : "miss";
    return [row.what, row.ours, row.against, valueText(row), aimText(row), verdict];
  });
  return [head, head.map(() => "---"), ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
