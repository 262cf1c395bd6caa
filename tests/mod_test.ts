import assert from "node:assert/strict";
import { createTestDatabase } from "./support/postgres/postgres.ts";

const ROOT = new URL("../", import.meta.url).pathname;

Deno.test("the example of mod.ts runs as it stands, on a database of its own", async () => {
  await using database = await createTestDatabase();
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--doc", "-A", "--quiet", "mod.ts"],
    cwd: ROOT,
    env: { DATABASE_URL: database.url, NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(code, 0, text);
  assert.match(text, /1 passed/);
});
