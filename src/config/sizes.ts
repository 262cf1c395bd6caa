/** Reads `1024`, `64KiB`, `8MiB`, `2GiB` or `1TiB`; NaN if it is none of these. */
export function bytesOf(text: string): number {
  const [, digits, suffix] = /^(\d+)\s*(KiB|MiB|GiB|TiB)?$/.exec(text) ?? [];
  if (digits === undefined) return NaN;
  const power = suffix ? ["KiB", "MiB", "GiB", "TiB"].indexOf(suffix) + 1 : 0;
  return Number(digits) * 1024 ** power;
}
