/**
 * A text that counts things says "1 mpack": `counted()` writes the number and its noun.
 *
 * @module
 */

import assert from "node:assert/strict";

const ROOT = new URL("../src/", import.meta.url).pathname;

/** Things that mpackd counts for people. Bytes are sizes: an error names them exactly, as they are. */
const NOUNS = [
  ..."attempts audits batches blobs branches chunks commits connections cores days".split(" "),
  ..."deliveries deltas entries files folders hours identities ids jobs keys members".split(" "),
  ..."migrations minutes mpacks names objects packs parts places problems pushes records".split(
    " ",
  ),
  ..."refs repos requests rows schedules shards snapshots statements tables tags tenants".split(
    " ",
  ),
  ..."times tokens tombstones uploads values versions warnings webhooks workers years".split(" "),
];

/** A number, and perhaps one word between it and the noun: `${formatCount(jobs)} running jobs`. */
const COUNT = new RegExp(
  String.raw`\{([^{}\x60]*)\}(?:\x60\s*\+\s*["\x60])?\s?(?:[a-z]+ )?(${NOUNS.join("|")})\b`,
  "g",
);

/** A limit is never 1. */
const IS_LIMIT = /^(?:max[A-Z]\w*|[A-Z_]+)$/;

/** What only looks like a count, or has its own word for one. */
const OTHERS: Readonly<Record<string, RegExp>> = {
  "errors.ts": /^missingCount$/,
  "maintenance/doctor/check_tables.ts": /^factor\.toFixed\(1\)$/,
};

async function* sources(folder = ""): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(ROOT + folder)) {
    if (isDirectory) yield* sources(`${folder}${name}/`);
    else if (/\.tsx?$/.test(name)) yield folder + name;
  }
}

Deno.test("no text of the source writes a number beside a plural without counted()", async () => {
  const found: string[] = [], used = new Set<string>();
  for await (const file of sources()) {
    const text = await Deno.readTextFile(ROOT + file);
    for (const { 1: expression, 2: noun, index: at } of text.matchAll(COUNT)) {
      const count = expression.trim();
      const isTemplate = text[at - 1] === "$" || file.endsWith(".tsx") && /^count/.test(count);
      // Not `{ rows } of rows`, a comment, or SQL.
      if (!isTemplate || count === "" || /^counted\(/.test(count) || IS_LIMIT.test(count)) continue;
      if (/\bSQL|\btext\(/.test(count)) continue;
      if (OTHERS[file]?.test(count)) used.add(file);
      else found.push(`${file}: {${count}} … ${noun}`);
    }
  }
  assert.deepEqual(found, []);
  assert.deepEqual([...used].sort(), Object.keys(OTHERS).sort(), "what is no longer there");
});
