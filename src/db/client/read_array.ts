/**
 * Reads an array without nulls as Postgres writes it: `{a,b,"c,d"}`.
 *
 * A column of some thousand values is read so in one row: each row of its own costs the driver 10 µs.
 */
export function readArray(text: string): string[] {
  if (text === "{}") return [];
  if (!text.includes('"')) return text.slice(1, -1).split(",");
  const values: string[] = [];
  for (const [, quoted, plain] of text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^",]+)/gs)) {
    values.push(plain ?? quoted.replace(/\\(.)/gs, "$1"));
  }
  return values;
}
