import assert from "node:assert/strict";
import { openTestDatabase } from "../support/postgres/database.ts";
import { MUTANTS } from "./faults.ts";
import { putFault } from "./locate.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("every fault of `deno task mutants` can be made, and has tests to notice it", async (t) => {
  assert.ok(MUTANTS.length >= 10);
  for (const mutant of MUTANTS) {
    await t.step(mutant.name, async () => {
      const text = await Deno.readTextFile(new URL(mutant.file, ROOT));
      assert.notEqual(putFault(text, mutant), text);
      for (const path of mutant.tests) await Deno.stat(new URL(path, ROOT));
    });
  }
});

Deno.test("every fault in SQL changes what the newest migration has installed", async (t) => {
  await using test = await openTestDatabase();
  const installed = await test.db.sql<{ name: string; body: string }[]>`
    select proname as name, prosrc as body from pg_proc
    where pronamespace = current_schema()::regnamespace`;
  const versionOf = (name: string) => Number(/_(\d+)$/.exec(name)?.[1] ?? 0);
  const baseOf = (name: string) => name.replace(/_\d+$/, "");
  const newest = new Map<string, number>();
  for (const { name } of installed) {
    newest.set(baseOf(name), Math.max(newest.get(baseOf(name)) ?? 0, versionOf(name)));
  }
  const isNewest = (name: string) => newest.get(baseOf(name)) === versionOf(name);
  for (const mutant of MUTANTS.filter(({ file }) => file.endsWith(".sql"))) {
    await t.step(mutant.name, async () => {
      const text = await Deno.readTextFile(new URL(mutant.file, ROOT));
      // The fault may be in a statement beside the functions, such as one that makes a trigger.
      const all = installed.filter(({ body }) => text.includes(body));
      assert.ok(all.length > 0, "nothing of the file is installed");
      for (const { name } of all) assert.ok(isNewest(name), `there is a newer ${name}`);
    });
  }
});

Deno.test("putFault() finds a place by its symbol, however the code is formatted", () => {
  const text = `class One {
  /** Says so. */
  twice(n: number): number {
    // once
    return n +
      n;
  }

  once(n: number): number {
    twice(n);
    return n + n;
  }
}
`;
  const place = { file: "one.ts", from: "n + n", to: "2 * n" };
  assert.equal(
    putFault(text, { ...place, within: "twice" }),
    text.replace("n +\n      n", "2 * n"),
  );
  assert.equal(putFault(text, { ...place, within: "once" }), text.replace("n + n", "2 * n"));
  assert.equal(putFault(text, { ...place, everywhere: true }).includes("n +"), false);
  assert.throws(() => putFault(text, place), /2 times/);
  assert.throws(() => putFault(text, { ...place, within: "never" }), /has never 0 times/);
  const sql = "-- 1. One\nselect a;\n-- 2. Two\nselect a;\n";
  const step = { file: "one.sql", within: "2", from: "select  a", to: "select b" };
  assert.equal(putFault(sql, step), sql.replace(/a;\n$/, "b;\n"));
});
