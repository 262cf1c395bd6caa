import assert from "node:assert/strict";
import { removeStaleTombstones, writeTombstones } from "../../../src/db/tombstones.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";

Deno.test("workers of 0.1 use the tombstones by the table's old name", async () => {
  await using test = await openTestDatabase();
  const { db } = test;
  // The statements of that release.
  const doom = (names: string[]) =>
    db.sql`
      insert into mpackd_doomed (name)
      select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb) as name order by 1
      on conflict do nothing
      returning name`.values();
  assert.deepEqual(await writeTombstones(db, ["a"]), ["a"]);
  assert.deepEqual([...await doom(["a", "b"])], [["b"]]);
  assert.deepEqual(await writeTombstones(db, ["b", "c"]), ["c"]);
  const young = await db.sql`select name from mpackd_doomed
    where name in ('a', 'b') and doomed_at > now() - interval '1 hour'`;
  assert.equal(young.length, 2);
  await db.sql`update mpackd_doomed set doomed_at = now() - interval '1 day' where name = 'a'`;
  await removeStaleTombstones(db, { olderThanMs: 3_600_000 });
  await db.sql`delete from mpackd_doomed where name = 'b'`;
  assert.deepEqual([...await db.sql`select name from mpackd_tombstones`.values()], [["c"]]);
});
