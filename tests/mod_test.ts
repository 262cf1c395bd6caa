import assert from "node:assert/strict";
import { createTestDatabase } from "./support/postgres/postgres.ts";

const MODULES = ["mod.ts", "decoder.ts", "objects.ts", "maintenance.ts"];
const ROOT = new URL("../", import.meta.url).pathname;

Deno.test("the example of each public module runs as it stands", async (t) => {
  const deno = async (args: string[], env = {}) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args,
      cwd: ROOT,
      env: { ...env, NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.equal(code, 0, text);
    return text;
  };
  await t.step("their types", async () => void await deno(["check", "--doc-only", ...MODULES]));
  for (const module of MODULES) {
    await t.step(module, async () => {
      // Each has a store of its own, and a database has one store.
      await using database = await createTestDatabase();
      const args = ["test", "--doc", "-A", "--quiet", "--no-check", module];
      assert.match(await deno(args, { DATABASE_URL: database.url }), /1 passed/);
    });
  }
});
