import assert from "node:assert/strict";
import { readIdentity } from "../../src/db/store_owner.ts";
import { ConfigError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { collectGarbage, type GcOptions } from "../../src/maintenance/gc/gc.ts";
import { claimStore } from "../../src/maintenance/store_owner.ts";
import { MARKER_KEY, readMarker, writeMarker } from "../../src/stream/store/store_marker.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { runMain } from "../support/process/main.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const PACKS = [1, 2, 3, 4].map((seed) =>
  buildMpack({ objects: [object({ content: sampleBytes(5_000, seed) })] })
);

function envOf({ databaseUrl, folder }: TestFixture): Record<string, string> {
  return { DATABASE_URL: databaseUrl, MPACK_STORE: `file://${folder}`, MPACK_GC_GRACE_MS: "60000" };
}

/** Indexes packs and makes their blobs old. */
async function fill(fixture: TestFixture, packs = PACKS): Promise<string[]> {
  const keys: string[] = [];
  for (const pack of packs) {
    const key = await fixture.put(pack);
    await indexMpack(fixture.options(key));
    keys.push(key);
  }
  await age(fixture);
  return keys;
}

async function age(fixture: TestFixture): Promise<void> {
  const then = new Date(Date.now() - 2 * DAY_MS);
  for await (const { key } of fixture.store.list("mpacks/")) {
    await Deno.utime(`${fixture.folder}/${key}`, then, then);
  }
}

async function blobs({ store }: TestFixture): Promise<number> {
  return (await Array.fromAsync(store.list("mpacks/"))).length;
}

function gc(fixture: TestFixture, options: Partial<GcOptions> = {}) {
  return collectGarbage({
    db: fixture.db,
    store: fixture.store,
    config: fixture.config(),
    graceMs: DAY_MS,
    signal: new AbortController().signal,
    ...options,
  });
}

Deno.test("gc and every writer refuse a store that belongs to another database", async (t) => {
  await using owner = await createFixture();
  await using other = await createFixture();
  await fill(owner);
  // Before the store is marked, what it holds says that the other database is not its own.
  for (const isMarked of [false, true]) {
    if (isMarked) await gc(owner);
    const wrong = { ...envOf(owner), DATABASE_URL: other.databaseUrl };
    const forgotten: Record<string, string> = {
      MPACK_STORE: `file://${owner.folder}`,
      MPACK_HOME: other.folder,
    };
    const pack = `${other.folder}/pack`;
    await Deno.writeFile(pack, PACKS[0]);
    const commands = [
      ["gc"],
      ["gc", "--force"],
      ["gc", "--dry-run"],
      ["worker", "--drain"],
      [
        "index",
        pack,
        "--repo",
        "me/repo",
      ],
      ["enqueue", pack, "--repo", "me/repo"],
      ["serve", "--port", "0"],
    ];
    for (const args of commands) {
      await t.step(
        `${args.slice(0, 2).join(" ")}, ${isMarked ? "marked" : "not marked"}`,
        async () => {
          const { code, stderr, stdout } = await runMain(args, wrong);
          assert.equal(code, 2, stdout + stderr);
          const ids = isMarked ? [owner.db, other.db] : [];
          for (const db of ids) {
            assert(stderr.includes((await readIdentity(db)).databaseId), stderr);
          }
          assert.match(stderr, /mpackd store adopt/);
          assert.equal(await blobs(owner), PACKS.length);
        },
      );
    }
    await t.step(`DATABASE_URL forgotten, ${isMarked ? "marked" : "not marked"}`, async () => {
      const { code, stderr } = await runMain(["gc", "--force"], forgotten);
      assert.equal(code, 2, stderr);
      assert.equal(await blobs(owner), PACKS.length);
    });
  }
  await t.step("audit", async () => {
    await fill(other, [PACKS[0]]);
    const wrong = { ...envOf(owner), DATABASE_URL: other.databaseUrl };
    assert.equal((await runMain(["audit"], wrong)).code, 2);
    const [{ damaged }] = await other.db.sql`
      select count(*)::int as damaged from musehub_object_refs where damaged_at is not null`;
    assert.equal(damaged, 0);
  });
  await t.step(
    "store adopt makes it the owner, and unknown repos still are no garbage",
    async () => {
      const wrong = { ...envOf(owner), DATABASE_URL: other.databaseUrl };
      const before = await runMain(["store", "show", "--json"], wrong);
      assert.equal(JSON.parse(before.stdout).ownership, "foreign");
      assert.equal((await runMain(["store", "adopt"], wrong)).code, 0);
      const after = await runMain(["store", "show", "--json"], wrong);
      assert.equal(JSON.parse(after.stdout).ownership, "ours");
      const { code, stdout } = await runMain(["gc", "--force", "--json"], wrong);
      assert.equal(code, 0);
      assert.deepEqual([JSON.parse(stdout).blobs, await blobs(owner)], [0, PACKS.length]);
      const dry = JSON.parse((await runMain(["gc", "--dry-run", "--json"], wrong)).stdout);
      assert.deepEqual([dry.blobs, dry.unknown_blobs], [0, PACKS.length]);
      assert.equal((await runMain(["gc"], envOf(owner))).code, 2);
    },
  );
});

Deno.test("a database restored from an older backup is noticed before gc deletes anything", async () => {
  await using fixture = await createFixture();
  const keys = await fill(fixture, PACKS.slice(0, 2));
  await gc(fixture);
  const backup = await fixture.db.sql`select counter from mpackd_database`;
  // The living system goes on: two more packs, and the use is counted.
  await fixture.db.sql`update mpackd_database set counted_at = now() - interval '2 minutes'`;
  keys.push(...await fill(fixture, PACKS.slice(2)));
  await gc(fixture);
  // The restore: the rows of the later packs are gone, and the counter is the old one.
  await fixture.db.sql`delete from musehub_object_refs`;
  await fixture.db.sql`delete from musehub_mpacks where mpack_key in ${
    fixture.db.sql(keys.slice(2))
  }`;
  await fixture.db.sql`update mpackd_database set counter = ${backup[0].counter}`;
  await assert.rejects(
    gc(fixture),
    (error: Error) => error instanceof ConfigError && /restored from a backup/.test(error.message),
  );
  assert.equal(await blobs(fixture), 4);
  // A dry run names what is missing; indexing it from the store brings it back.
  const missing: string[] = [];
  await gc(fixture, { isDryRun: true, onCollected: (_, name) => missing.push(name.slice(-64)) });
  for (const key of keys.slice(2)) assert(missing.includes(key.slice(-64)));
  for (const key of keys) await indexMpack(fixture.options(key));
  const { stderr, code } = await runMain(["index", keys[0], "--repo", "me/repo"], envOf(fixture));
  assert.equal(code, 0);
  assert.match(stderr, /Warning: .* restored from a backup/);
  assert.equal((await runMain(["store", "adopt"], envOf(fixture))).code, 0);
  assert.equal((await gc(fixture)).blobs, 0);
  assert.equal(await blobs(fixture), 4);
});

Deno.test("a store that lost its marker is refused, as if it were not mounted", async () => {
  await using fixture = await createFixture();
  await fill(fixture);
  await gc(fixture);
  await Deno.remove(`${fixture.folder}/${MARKER_KEY}`);
  await assert.rejects(gc(fixture), /it has no marker, but the database .* has marked/);
  const { code, stderr } = await runMain(["worker", "--drain"], envOf(fixture));
  assert.equal(code, 2);
  assert.match(stderr, /Is it mounted\?/);
});

Deno.test("the first use marks the store, and later uses count on", async () => {
  await using fixture = await createFixture();
  await fixture.put(PACKS[0]);
  assert.equal(await readMarker(fixture.store), undefined);
  const key = mpackKey(PACKS[0]);
  assert.equal((await runMain(["index", key, "--repo", "me/repo"], envOf(fixture))).code, 0);
  const first = await readMarker(fixture.store);
  assert.deepEqual(first, await readIdentity(fixture.db));
  await fixture.db.sql`update mpackd_database set counted_at = now() - interval '2 minutes'`;
  await gc(fixture);
  const second = await readMarker(fixture.store);
  assert.deepEqual([second?.databaseId, second?.counter], [first!.databaseId, first!.counter + 1]);
  // The database may be ahead of the marker: it counts first.
  await writeMarker(fixture.store, first!);
  await gc(fixture);
});

Deno.test("claimStore() marks a store once however many workers start, and after a failed start", async (t) => {
  await t.step("eight at once", async () => {
    await using fixture = await createFixture();
    const parts = { db: fixture.db, store: fixture.store, config: fixture.config() };
    const claims = await Promise.all(Array.from({ length: 8 }, () => claimStore(parts)));
    assert.deepEqual(claims.map(({ ownership }) => ownership), Array(8).fill("ours"));
  });
  await t.step("after the marker could not be written", async () => {
    await using fixture = await createFixture();
    const { db, store } = fixture, config = fixture.config();
    const broken: typeof store = { ...store, put: () => Promise.reject(new Error("full")) };
    await assert.rejects(claimStore({ db, store: broken, config }), /full/);
    assert.equal((await claimStore({ db, store, config })).ownership, "ours");
  });
  await t.step("while another worker marks it between two reads", async () => {
    await using fixture = await createFixture();
    const { db, store } = fixture, config = fixture.config();
    let isFirst = true;
    const late: typeof store = {
      ...store,
      open: async (...args) => {
        if (!isFirst) return await store.open(...args);
        isFirst = false;
        const found = await store.open(...args).catch((error) => error);
        await claimStore({ db, store, config });
        if (found instanceof Error) throw found;
        return found;
      },
    };
    assert.equal((await claimStore({ db, store: late, config })).ownership, "ours");
  });
});

Deno.test("gc refuses to delete more than a share of the bytes, unless it is forced", async () => {
  await using fixture = await createFixture();
  for (const pack of PACKS) await fixture.put(pack);
  await indexMpack(fixture.options(mpackKey(PACKS[0])));
  await age(fixture);
  const dry = await runMain(["gc", "--dry-run"], envOf(fixture));
  assert.match(dry.stdout, /75\.\d% of the store's bytes: gc refuses without --force/);
  const { code, stderr } = await runMain(["gc"], envOf(fixture));
  assert.deepEqual([code, await blobs(fixture)], [2, 4]);
  assert.match(stderr, /3 blobs .* 75\.\d% of its bytes, more than 50%/);
  const raised = { ...envOf(fixture), MPACK_GC_MAX_PERCENT: "80" };
  assert.equal((await runMain(["gc"], raised)).code, 0);
  assert.equal(await blobs(fixture), 1);
});

Deno.test("gc refuses to work if row security hides rows from it", async () => {
  await using fixture = await createFixture();
  await fill(fixture);
  const { sql } = fixture.db;
  const role = `limited_${crypto.randomUUID().slice(0, 8)}`;
  const [{ schema }] = await sql`select current_schema() as schema`;
  await sql.unsafe(
    `create role ${role} login password 'x'; grant usage on schema ${schema} to ${role};
     grant all on all tables in schema ${schema} to ${role};
    alter table musehub_mpacks enable row level security`,
  );
  try {
    const url = new URL(fixture.databaseUrl);
    url.username = role;
    url.password = "x";
    const { code, stderr } = await runMain(["gc", "--force"], {
      ...envOf(fixture),
      DATABASE_URL: url.href,
    });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /row-level security policy for table "musehub_mpacks"/);
    assert.equal(await blobs(fixture), PACKS.length);
  } finally {
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
});
