import assert from "node:assert/strict";
import { createTestDatabase } from "./support/postgres/postgres.ts";

const MODULES = ["mod.ts", "decoder.ts", "objects.ts", "maintenance.ts"];
const ROOT = new URL("../", import.meta.url).pathname;

Deno.test("the example of each public module runs as it stands", async () => {
  await using database = await createTestDatabase();
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--doc", "-A", "--quiet", ...MODULES],
    cwd: ROOT,
    env: { DATABASE_URL: database.url, NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(code, 0, text);
  assert.match(text, /4 passed/);
});
