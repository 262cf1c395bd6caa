import assert from "node:assert/strict";
import type { Database } from "../../src/db/client/database.ts";
import { findId, idsBeginning } from "../../src/db/find_ids.ts";
import { createRepo } from "../../src/db/repos.ts";
import { ConfigError } from "../../src/errors.ts";
import { createFixture } from "../support/process/fixture.ts";

const id = (start: string) => start.padEnd(64, "0");

Deno.test("findId() finds the one id that begins so, in either spelling and in one repo", async (t) => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const { repo: other } = await createRepo(db, { owner: "other", slug: "repo" });
  const add = (ofRepo: string, objectId: string) =>
    db.sql`insert into musehub_object_refs (repo_id, object_id) values (${ofRepo}, ${objectId})`;
  const ids = [
    `sha256:${id("aaaa1")}`,
    `sha256:${id("aaaa2")}`,
    id("bbbb1"),
    id("cccc"),
    id("ffff"),
  ];
  for (const each of [...ids, `sha256:${id("cccc")}`]) await add(repoId, each);
  await add(other.repoId, `sha256:${id("dddd")}`);
  await add(other.repoId, `sha256:${id("bbbb2")}`);
  const place = { kind: "object", repoId } as const;
  const find = (text: string) => findId(db, place, text);

  await t.step("with or without sha256:", async () => {
    for (const text of ["aaaa1", "sha256:aaaa1", id("aaaa1"), ids[0]]) {
      assert.equal(await find(text), ids[0], text);
    }
    for (const text of ["bbbb", "sha256:bbbb", `sha256:${ids[2]}`, "ffff"]) {
      assert.equal(await find(text), text === "ffff" ? ids[4] : ids[2], text);
    }
  });
  await t.step("both spellings of one id are one", async () => {
    assert.equal(await find("cccc"), `sha256:${id("cccc")}`);
    assert.equal(await find(id("cccc")), id("cccc"));
  });
  await t.step("nothing of another repo", async () => {
    assert.equal(await find("dddd"), undefined);
  });
  await t.step("several: names them", async () => {
    await assert.rejects(find("aaaa"), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      for (const each of ids.slice(0, 2)) assert.ok(error.message.includes(each));
      return true;
    });
  });
  await t.step("too short, or no id at all", async () => {
    for (const text of ["aaa", "", "AAAA1", "aaaa%", "sha256:", "zzzz", `${ids[0]}0`]) {
      assert.equal(await find(text), undefined, text);
    }
  });
  await t.step("reads ranges of the index, and no more than it returns", async () => {
    await db.sql`insert into musehub_object_refs (repo_id, object_id)
      select ${repoId}, 'sha256:' || encode(sha256(n::text::bytea), 'hex')
      from generate_series(1, 20000) n`;
    await db.sql`analyze musehub_object_refs`;
    let plan = "";
    const explained: Database = {
      ...db,
      query: (action) => async (text, ...values) => {
        const strings = [`explain (format json) ${text[0]}`, ...text.slice(1)];
        const asked = Object.assign(strings, { raw: strings });
        plan = JSON.stringify(await db.query(action)(asked, ...values));
        return [];
      },
    };
    await idsBeginning(explained, place, { prefix: "aaaa", limit: 3 });
    assert.ok(!plan.includes("Seq Scan"), plan);
    assert.equal(plan.match(/"Index Cond":"[^"]*object_id[^"]*"/g)?.length, 2, plan);
  });
});
