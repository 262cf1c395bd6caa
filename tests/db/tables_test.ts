import assert from "node:assert/strict";
import { TABLES } from "../../src/db/schema/tables.ts";
import { openTestDatabase } from "../support/postgres/database.ts";

const SHORT_NAMES: Record<string, string> = {
  "timestamp with time zone": "timestamptz",
  "_text": "text[]",
  "_int8": "bigint[]",
  "_bool": "boolean[]",
  "jsonb": "json",
};

Deno.test("TABLES names every column that migrate() makes, with type, null and default", async () => {
  await using test = await openTestDatabase();
  const rows = await test.db.sql<{ table: string; column: string; type: string; marks: string }[]>`
    select table_name::text as table, column_name::text as column,
      case data_type when 'ARRAY' then udt_name else data_type end::text as type,
      case when is_nullable = 'YES' then '?' else '' end
        || case when column_default is not null or is_identity = 'YES' then '=' else '' end as marks
    from information_schema.columns
    join information_schema.tables using (table_schema, table_name)
    where table_schema = current_schema() and table_type = 'BASE TABLE'
    order by table_name, ordinal_position`;
  const found: Record<string, Record<string, string>> = {};
  for (const { table, column, type, marks } of rows) {
    (found[table] ??= {})[column] = (SHORT_NAMES[type] ?? type) + marks;
  }
  assert.deepEqual(found, TABLES);
});
