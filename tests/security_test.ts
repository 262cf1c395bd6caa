import assert from "node:assert/strict";
import { SETTINGS } from "../src/config/config.ts";

const ROOT = new URL("../", import.meta.url);
const TEXT = await Deno.readTextFile(new URL("SECURITY.md", ROOT));

Deno.test("SECURITY.md names a test for every promise, and each is there", async () => {
  const [, table] = /## What is promised[^]*?\n\n(\|[^]*?)\n\n/.exec(TEXT)!;
  const rows = table.split("\n").slice(2).map((row) => row.split("|").at(-2)!.trim());
  assert.ok(rows.length >= 20, `${rows.length} rows`);
  for (const row of rows) {
    const [, file, title] = /^`(tests\/[^`]+\.ts)`: (.+)$/.exec(row) ?? assert.fail(row);
    const source = await Deno.readTextFile(new URL(file, ROOT));
    // A title that ends in a variable part is named up to there.
    const isThere = ['"', "`", "} "].some((before) => source.includes(before + title)) ||
      source.includes(`test("${title}`);
    assert.ok(isThere, `${file} has no test "${title}"`);
  }
});

Deno.test("SECURITY.md names settings, tasks and files that exist", async () => {
  const known = Object.values(SETTINGS).map(({ env }) => env);
  const named = TEXT.match(/\b(MPACK|AWS|DATABASE)_[A-Z_]+\b/g)!;
  assert.deepEqual(named.filter((name) => !known.includes(name)), []);
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  for (const [, task] of TEXT.matchAll(/`deno task ([\w:]+)/g)) assert.ok(task in tasks, task);
  for (const [, path] of TEXT.matchAll(/`((?:src|tests|scripts|docs)\/[^`]+)`/g)) {
    await Deno.stat(new URL(path, ROOT));
  }
});
