/**
 * Text from outside meets regular expressions everywhere, so none may backtrack for long.
 *
 * @module
 */
import assert from "node:assert/strict";
import { MPACK_KEY, OBJECT_ID } from "../../src/lib/ids.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Slow only for long texts, which these never meet. */
const BOUNDED: Readonly<Record<string, string>> = {
  "src/lib/numbers.ts": String.raw`/\B(?=(\d{3})+$)/g`,
};

/** Files that build an expression from parts, and the reason why that is safe. */
const BUILDERS: Readonly<Record<string, string>> = {
  "src/http/console/pages/jobs.tsx": "alternatives of our own words",
  "src/lib/ids.ts": "two constants, checked below",
  "src/maintenance/gc/blob_names.ts":
    "a template of the operator's, for keys of at most 1,024 bytes",
};

/**
 * Reads expressions and prints the index of each that is not linear. It is a program of its own, with
 * a lock file of its own, so that nobody else downloads the 50 MB of recheck.
 */
const CHECKER = `
import { checkSync } from "npm:recheck@4.5.0";
const expressions = await new Response(Deno.stdin.readable).json();
const isSlow = ({ source, flags }) => checkSync(source, flags, { timeout: 60_000 }).status !== "safe";
console.log(JSON.stringify(expressions.filter(isSlow)));
`;

interface Expression {
  readonly path: string;
  readonly source: string;
  readonly flags: string;
}

interface Found {
  readonly literals: Expression[];
  readonly builders: Set<string>;
}

async function expressionsIn(folder: string, found: Found): Promise<Found> {
  for await (const { name, isDirectory } of Deno.readDir(ROOT + folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) await expressionsIn(path, found);
    else if (/\.tsx?$/.test(name)) visit(path, await Deno.readTextFile(ROOT + path), found);
  }
  return found;
}

function visit(path: string, text: string, { literals, builders }: Found): void {
  const create = () => ({
    Literal(node: Deno.lint.Literal) {
      const regex = "regex" in node ? node.regex : undefined;
      if (regex) literals.push({ path, source: regex.pattern, flags: regex.flags });
    },
    Identifier({ name }: Deno.lint.Identifier) {
      if (name === "RegExp") builders.add(path);
    },
  });
  const plugin = { name: "find", rules: { expressions: { create } } } as Deno.lint.Plugin;
  Deno.lint.runPlugin(plugin, path, text);
}

Deno.test("no regular expression of src/ takes more than linear time", async () => {
  const { literals, builders } = await expressionsIn("src", { literals: [], builders: new Set() });
  assert.ok(literals.length > 50, `only ${literals.length} expressions were found`);
  assert.deepEqual([...builders].sort(), Object.keys(BUILDERS).sort());
  for (const { source, flags } of [MPACK_KEY, OBJECT_ID]) {
    literals.push({ path: "src/lib/ids.ts", source, flags });
  }
  const named = (await slowOnes(literals)).map(({ path, source, flags }) => [
    path,
    `/${source}/${flags}`,
  ]);
  assert.deepEqual(Object.fromEntries(named), BOUNDED);
});

async function slowOnes(expressions: readonly Expression[]): Promise<Expression[]> {
  const lock = `${ROOT}tests/attack/recheck.lock`;
  const checker = `data:application/javascript,${encodeURIComponent(CHECKER)}`;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-config", `--lock=${lock}`, "--frozen", "-A", checker],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(expressions)));
  await writer.close();
  const { success, stdout } = await process.output();
  assert.ok(success, "the checker failed");
  return JSON.parse(new TextDecoder().decode(stdout));
}
