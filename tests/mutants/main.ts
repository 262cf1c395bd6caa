/**
 * Puts one fault after another into a copy of the tree, and expects the tests to notice:
 * `deno task mutants`. A fault that no test notices is a hole in the tests.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startTestServer } from "../support/postgres/test_server.ts";
import { type Mutant, MUTANTS } from "./faults.ts";
import { putFault } from "./locate.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = [
  ...["src", "tests", "scripts", "docs", "deno.json", "deno.lock"],
  ...["main.ts", "mod.ts", "decoder.ts", "objects.ts", "maintenance.ts"],
];
/** A fault may make a test wait without end. */
const LIMIT_MS = 15 * 60_000;

/** What became of a test run. */
interface Verdict {
  readonly isGreen: boolean;
  /** The first test that failed; of a run that timed out, undefined. */
  readonly failed?: string;
}

async function copyTree(from: string, to: string): Promise<void> {
  const { isDirectory } = await Deno.stat(from);
  if (!isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) await copyTree(join(from, name), join(to, name));
}

/** Runs test files of the copy until the first failure, or of them one test. */
async function runTests(
  folder: string,
  { tests, title }: { readonly tests: readonly string[]; readonly title?: string },
  databaseUrl: string,
): Promise<Verdict> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "-A", "--no-check", "--fail-fast"],
      ...(title === undefined ? [] : ["--filter", title]),
      ...tests,
    ],
    cwd: folder,
    env: { NO_COLOR: "1", MPACKD_TEST_DATABASE_URL: databaseUrl },
    signal: limit,
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (success && / [1-9]\d* passed/.test(text)) return { isGreen: true };
  if (limit.aborted) return { isGreen: false };
  const [, failures] = /^ FAILURES $([^]*)/m.exec(text) ?? [];
  // "title ... step => ./tests/file.ts:1:2"
  const [, failed] = /^(\S.*?)(?: \.\.\. .*)? => \.\/tests/m.exec(failures ?? "") ?? [];
  // Code that does not even load is caught by the compiler, and proves nothing about the tests.
  if (failed === undefined) {
    throw new Error(`No test failed, and yet:\n${text}\n${new TextDecoder().decode(stderr)}`);
  }
  return { isGreen: false, failed };
}

/** Puts a fault into the copy; returns how to take it out again. */
async function mutate(folder: string, mutant: Mutant): Promise<() => Promise<void>> {
  const path = join(folder, mutant.file), original = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, putFault(original, mutant));
  return () => Deno.writeTextFile(path, original);
}

const wanted = Deno.args;
const mutants = MUTANTS.filter(({ name }) =>
  wanted.length === 0 || wanted.some((word) => name.includes(word))
);
const folder = await Deno.makeTempDir({ prefix: "mpackd-mutants-" });
const table: { fault: string; "caught by": string; s: number }[] = [];
let survivors = 0;
try {
  for (const name of COPIED) await copyTree(join(ROOT, name), join(folder, name));
  await using server = await startTestServer({ name: "mutants" });
  for (const mutant of mutants) {
    const startedAt = performance.now();
    const undo = await mutate(folder, mutant);
    const verdict = await runTests(folder, mutant, server.url);
    await undo();
    if (verdict.failed !== undefined) {
      const { isGreen } = await runTests(folder, { ...mutant, title: verdict.failed }, server.url);
      if (!isGreen) throw new Error(`Without the fault it fails, too: ${verdict.failed}`);
    }
    if (verdict.isGreen) survivors++;
    const caughtBy = verdict.isGreen ? "NOTHING" : verdict.failed ?? "a test that never ended";
    const s = Math.round((performance.now() - startedAt) / 1000);
    console.log(`${mutant.name}: ${caughtBy} (${s} s)`);
    table.push({ fault: mutant.name, "caught by": caughtBy, s });
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.table(table);
console.log(`${mutants.length - survivors} of ${mutants.length} faults were caught`);
if (survivors > 0) Deno.exit(1);
