import assert from "node:assert/strict";
import { readArray } from "../../src/db/client/read_array.ts";
import { openTestDatabase } from "../support/postgres/database.ts";

Deno.test("readArray() reads arrays as PostgreSQL writes them", async () => {
  await using test = await openTestDatabase();
  for (
    const values of [
      [],
      ["a"],
      ["sha256:00", "-", "12"],
      ["", 'with "quotes"', "comma, and {braces}", "back\\slash", "line\nbreak", "NULL", "é 🌍"],
    ]
  ) {
    const [{ text }] = await test.db.sql`
      select array(select jsonb_array_elements_text(${JSON.stringify(values)}::text::jsonb))::text
        as text`;
    assert.deepEqual(readArray(text), values);
  }
});
