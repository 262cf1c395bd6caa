import assert from "node:assert/strict";

const ROOT = new URL("../", import.meta.url);
const TEXT = await Deno.readTextFile(new URL("SECURITY.md", ROOT));

Deno.test("SECURITY.md names a test for every promise, and each is there", async () => {
  const [, table] = /## What is promised[^]*?\n\n(\|[^]*?)\n\n/.exec(TEXT)!;
  const rows = table.split("\n").slice(2).map((row) => row.split("|").at(-2)!.trim());
  assert.ok(rows.length >= 20, `${rows.length} rows`);
  const missing: string[] = [];
  for (const row of rows) {
    const [, file, title] = /^`(tests\/[^`]+\.ts)`: (.+)$/.exec(row) ?? assert.fail(row);
    const source = await Deno.readTextFile(new URL(file, ROOT)).catch(() => "");
    // A title that ends in a variable part is named up to there.
    const isThere = ['"', "`", "} "].some((before) => source.includes(before + title)) ||
      source.includes(`test("${title}`);
    if (!isThere) missing.push(`${file} has no test "${title}"`);
  }
  assert.deepEqual(missing, []);
});
