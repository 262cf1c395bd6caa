import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { countUnreached, KINDS, unreachedIds } from "../../../src/db/history/unreached.ts";
import { createFixture } from "../../support/process/fixture.ts";

/** A database that explains its statements instead of running them. */
function explaining(db: Database, plans: string[]): Database {
  const query = (...action: Parameters<Database["query"]>) => {
    const real = db.query<Record<string, string>>(...action);
    return async (strings: TemplateStringsArray, ...values: Parameters<typeof real>[1][]) => {
      const [first, ...rest] = strings, explained = [`explain ${first}`, ...rest];
      const rows = await real(
        Object.assign(explained, { raw: explained }) as unknown as TemplateStringsArray,
        ...values,
      );
      plans.push(rows.map((row) => row["QUERY PLAN"]).join("\n"));
      return rows;
    };
  };
  return { ...db, query: query as unknown as Database["query"] };
}

Deno.test("gc looks each mark up by its key, whatever statistics say of the marks", async () => {
  await using fixture = await createFixture();
  const { sql } = fixture.db, { repoId } = fixture.repo;
  // To the planner there are no marks.
  await sql`analyze mpackd_marks`;
  await sql`insert into mpackd_marks (walk_id, kind, id)
    select 'walk', 'commit', md5(i::text) from generate_series(1, 5000) as i`;
  const plans: string[] = [], db = explaining(fixture.db, plans);
  const walk = { repoId, walkId: "walk", before: "2026-01-01T00:00:00Z" };
  await countUnreached(db, walk);
  for (const kind of KINDS) await unreachedIds(db, walk, kind, { after: "", limit: 10 });
  assert.equal(plans.length, 4);
  for (const plan of plans) {
    assert.match(plan, /SubPlan/, plan);
    assert.doesNotMatch(plan, /Anti Join/, plan);
  }
});
