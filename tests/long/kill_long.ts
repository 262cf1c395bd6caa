import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { runMain, startMain } from "../support/main.ts";
import { createWorld } from "../support/worlds.ts";

const OBJECTS = Number(Deno.env.get("MPACKD_TEST_KILL_OBJECTS") ?? 100_000);
const KILLS = Number(Deno.env.get("MPACKD_TEST_KILLS") ?? 10);

Deno.test("main.ts index killed at random moments shows nothing, and the next run completes", async () => {
  await using clean = await createWorld();
  await using world = await createWorld();
  const path = `${world.folder}/kill.mpack`;
  const shape = { objects: OBJECTS, size: parseSize("100"), seed: 31 };
  await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
  const envOf = ({ databaseUrl, folder }: typeof world) => ({
    DATABASE_URL: databaseUrl,
    MPACK_STORE: `file://${folder}`,
    MPACK_BATCH_ROWS: "2000",
  });
  const args = ["index", path, "--repo", "me/repo", "--json"];
  const startedAt = performance.now();
  const first = await runMain(args, envOf(clean));
  assert.equal(first.code, 0, first.stderr);
  const wholeMs = performance.now() - startedAt;

  const count = async () => {
    const [{ rows }] = await world.db.sql`
      select (select count(*) from musehub_objects) + (select count(*) from musehub_object_refs)
        + (select count(*) from musehub_mpacks) as rows`;
    return rows;
  };
  let kills = 0, done = 0;
  while (kills < KILLS) {
    const child = startMain(args, envOf(world));
    const timer = setTimeout(() => child.kill("SIGKILL"), Math.random() * wholeMs);
    const { code } = await child.output();
    clearTimeout(timer);
    if (code === 0) {
      // It was faster than the axe: begin again with empty tables.
      done++;
      await world.db.sql.unsafe("truncate musehub_objects, musehub_object_refs, musehub_mpacks");
      continue;
    }
    kills++;
    // The server may still be at work on what the dead process had sent.
    await settled(world.db.sql);
    const rows = await count();
    const isPublished = rows === 2 * OBJECTS + 1;
    assert.ok(rows === 0 || isPublished, `${rows} rows after kill ${kills}`);
    if (isPublished) {
      await world.db.sql.unsafe("truncate musehub_objects, musehub_object_refs, musehub_mpacks");
    }
  }
  const last = await runMain(args, envOf(world));
  assert.equal(last.code, 0, last.stderr);
  console.log(`${kills} kills, ${done} runs that ended first`);
  const { resumed_from_byte, hashed_bytes, size_bytes } = JSON.parse(last.stdout);
  assert.equal(hashed_bytes, size_bytes - resumed_from_byte);
  assert.equal(await world.staged(), 0);
  const [one, other] = await Promise.all([comparable(clean), comparable(world)]);
  assert.equal(one, other);
});

/** Waits until no statement of another session is running. */
async function settled(sql: import("../../src/db/database.ts").Database["sql"]): Promise<void> {
  for (;;) {
    const [{ busy }] = await sql`
      select count(*)::int as busy from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`;
    if (busy === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What readers see, without the names that differ from one database to the next. */
async function comparable({ db }: { db: import("../../src/db/database.ts").Database }) {
  const [row] = await db.sql`
    select
      (select md5(string_agg(o::text, ',' order by object_id collate "C")) from (
        select object_id, storage_uri, size_bytes, content_offset from musehub_objects) o)
      || (select md5(string_agg(r::text, ',' order by object_id collate "C")) from (
        select object_id, content_offset, size_bytes from musehub_object_refs) r) as digest`;
  return row.digest;
}
