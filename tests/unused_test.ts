/**
 * Code and dependencies that nothing uses fail here.
 *
 * @module
 */

import assert from "node:assert/strict";

const ROOT = new URL("../", import.meta.url).pathname;
const CONFIG = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));

/** What this package offers to others: these files and their exports need no user. */
const ENTRIES = Object.values<string>(CONFIG.exports).map((path) => path.slice("./".length));

/** A TypeScript file of this repository. */
interface Source {
  readonly text: string;
  /** Relative paths of the files it imports, with the imported names; "*" stands for all. */
  readonly imports: readonly { readonly path: string; readonly names: readonly string[] }[];
}

async function sourcesIn(...places: string[]): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>();
  for (const place of places) {
    for await (const path of filesIn(place)) sources.set(path, await parse(path));
  }
  return sources;
}

async function* filesIn(place: string): AsyncGenerator<string> {
  if (!(await Deno.stat(ROOT + place)).isDirectory) return yield place;
  for await (const { name, isDirectory } of Deno.readDir(ROOT + place)) {
    if (isDirectory) yield* filesIn(`${place}/${name}`);
    else if (/\.tsx?$/.test(name)) yield `${place}/${name}`;
  }
}

async function parse(path: string): Promise<Source> {
  const text = await Deno.readTextFile(ROOT + path);
  const imports: { path: string; names: string[] }[] = [];
  const add = (specifier: string, names: string[]) => {
    if (!specifier.startsWith(".")) return;
    imports.push({ path: new URL(specifier, `file:///${path}`).pathname.slice(1), names });
  };
  for (const [, what, to] of text.matchAll(/^(?:import|export)\s+([^;"]*?)\s*from "([^"]+)"/gm)) {
    add(to, /\{/.test(what) ? namesIn(what) : ["*"]);
  }
  for (const [, to] of text.matchAll(/^import "([^"]+)"/gm)) add(to, []);
  for (const [, to] of text.matchAll(/\bimport\(\s*"([^"]+)"/g)) add(to, ["*"]);
  // Workers and child processes are started from the path of a file.
  for (const [, to] of text.matchAll(/"([\w./-]+\.ts)"/g)) add(`./${to}`, []);
  return { text, imports };
}

/** The names of `{ one, type two, three as four }`: what the other file calls them. */
function namesIn(clause: string): string[] {
  const [, inside] = /\{([^}]*)\}/.exec(clause)!;
  return inside.split(",").map((part) => part.trim().replace(/^type /, "").split(" as ")[0])
    .filter((name) => name !== "");
}

/** Values and types that a file exports, each with the text of its doc comment. */
function exportsOf(text: string): { name: string; isType: boolean; doc: string }[] {
  const pattern =
    /(\/\*\*(?:(?!\*\/)[^])*\*\/\s*)?^export (?:declare |abstract |async )*(function\*?|const enum|const|let|class|enum|interface|type) (\w+)/gm;
  return [...text.matchAll(pattern)].map(([, doc = "", kind, name]) => (
    { name, isType: kind === "interface" || kind === "type", doc }
  ));
}

function mentions(text: string, name: string): number {
  return text.match(new RegExp(`\\b${name}\\b`, "g"))?.length ?? 0;
}

const product = await sourcesIn(...ENTRIES, "src");
const others = await sourcesIn("scripts", "tests", "bench");

Deno.test("every export of src/ is used by another file; @internal ones may be for tests alone", () => {
  const users = new Map([...product, ...others]);
  const unused: string[] = [];
  for (const [path, { text }] of product) {
    if (ENTRIES.includes(path)) continue;
    for (const { name, isType, doc } of exportsOf(text)) {
      // Whoever calls a function may have to name the types of its signature.
      if (isType && mentions(text, name) > 1) continue;
      const isUsedBy = ([other, source]: [string, Source]) =>
        other !== path &&
        source.imports.some((each) =>
          each.path === path && (each.names.includes(name) ||
            each.names.includes("*") && mentions(source.text, name) > 0)
        );
      const mayBe = doc.includes("@internal") ? users : product;
      if (![...mayBe].some(isUsedBy)) unused.push(`${path}: ${name}`);
    }
  }
  assert.deepEqual(unused, []);
});

Deno.test("every file is imported by another one, or is run by itself", async () => {
  const tasks = Object.values<string>(CONFIG.tasks).join("\n");
  const documents = await Promise.all(
    ["README.md", ".ci/run"].map((name) => Deno.readTextFile(ROOT + name)),
  );
  const imported = new Set<string>();
  for (const [path, { imports }] of [...product, ...others]) {
    for (const to of imports) if (to.path !== path) imported.add(to.path);
  }
  const isRun = (path: string) =>
    /_test\.ts$|_long\.ts$/.test(path) || [tasks, ...documents].some((text) => text.includes(path));
  const unused = [...product, ...others].map(([path]) => path)
    .filter((path) => !imported.has(path) && !ENTRIES.includes(path) && !isRun(path));
  assert.deepEqual(unused, []);
});

Deno.test("every dependency of deno.json is imported where it is declared for", async (t) => {
  const unusedIn = (imports: Record<string, string>, sources: Map<string, Source>) => {
    const texts = [...sources.values()].map(({ text }) => text);
    const isUsed = (name: string) =>
      texts.some((text) => new RegExp(`"(npm:)?${name}["/@]`).test(text));
    return Object.keys(imports).filter((name) => !isUsed(name));
  };
  await t.step("imports", () => assert.deepEqual(unusedIn(CONFIG.imports, product), []));
  for (const [folder, imports] of Object.entries<Record<string, string>>(CONFIG.scopes)) {
    await t.step(`scopes: ${folder}`, async () => {
      const sources = await sourcesIn(folder.replace(/^\.\/|\/$/g, ""));
      assert.deepEqual(unusedIn(imports, sources), []);
    });
  }
  const bench = JSON.parse(await Deno.readTextFile(`${ROOT}bench/deno.json`));
  await t.step("bench/deno.json", async () => {
    const unused = unusedIn(bench.imports, await sourcesIn("bench"));
    assert.deepEqual(unused.filter((name) => !(name in CONFIG.imports)), []);
  });
  await t.step("bench/deno.json repeats the versions of deno.json", () => {
    const same = Object.keys(CONFIG.imports).map((name) => [name, bench.imports[name]]);
    assert.deepEqual(Object.fromEntries(same), CONFIG.imports);
  });
});

Deno.test("a user of mpackd installs no package of a bench, and sees no warning of npm's", async () => {
  const lock = JSON.parse(await Deno.readTextFile(`${ROOT}deno.lock`));
  const declared = [CONFIG.imports, ...Object.values(CONFIG.scopes)].flatMap(Object.values);
  assert.deepEqual(Object.keys(lock.specifiers).filter((name) => !declared.includes(name)), []);
  // Deno does not run these scripts, and would say so at the first start: deny says that we know.
  const scripts = Object.entries<{ scripts?: boolean }>(lock.npm)
    .filter(([, { scripts }]) => scripts).map(([name]) => `npm:${name}`);
  assert.deepEqual(CONFIG.allowScripts.deny.toSorted(), scripts.toSorted());
});
