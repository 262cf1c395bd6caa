import assert from "node:assert/strict";
import { limitsOf } from "../../src/config/config.ts";
import { StoreError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { audit } from "../../src/maintenance/audit/audit.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { drain, sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createWorld, type TestWorld } from "../support/process/worlds.ts";

const CHILD = new URL("../support/process/maintenance_child.ts", import.meta.url).pathname;
const KILLS = 8;
/** Beside so many pushes at least. */
const PUSHES = 10;
const signal = new AbortController().signal;

function randoms(seed: number): () => number {
  return () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** Starts the child and kills it so long after it began; whether it was still at work. */
async function killAfter(world: TestWorld, what: "gc" | "audit", ms: number): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", CHILD, what, world.databaseUrl, world.folder],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, ms));
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
  const { signal } = await child.status;
  await reader.cancel();
  return signal === "SIGKILL";
}

/** Every ref of the world leads to bytes that hash to its id. */
async function checkRefs({ db, store }: TestWorld): Promise<number> {
  const rows = await db.sql`select object_id, content_offset, r.size_bytes, blob_key, etag
    from musehub_object_refs r left join musehub_mpacks using (mpack_id)`;
  for (const { object_id, content_offset, size_bytes, blob_key, etag } of rows) {
    assert.ok(blob_key, `${object_id} points at no pack`);
    const range = { offsetBytes: content_offset, lengthBytes: size_bytes, etag };
    assert.equal(mpackKey(await drain(await store.open(blob_key, range))), object_id);
  }
  return rows.length;
}

Deno.test("gc killed at random moments, beside uploads and jobs, loses nothing", async () => {
  const seed = Date.now() >>> 0, random = randoms(seed);
  await using world = await createWorld();
  const { db, store } = world, pick = (below: number) => Math.floor(random() * below);
  let isOver = false, indexed = 0, lost = 0;
  const push = async () => {
    while (!isOver) {
      const objects = Array.from({ length: 1 + pick(6) }, () => {
        const content = sampleBytes(1 + pick(60), 1 + pick(40));
        return object({ content });
      });
      const bytes = buildMpack({
        objects: [...new Map(objects.map((o) => [`${o.bytes}`, o])).values()],
      });
      try {
        const options = world.options(await world.put(bytes));
        await indexMpack({ ...options, payload: { materialize: pick(3) === 0 } });
        indexed++;
      } catch (error) {
        // The blob was collected before its job was there, or while it was half-written (nothing is
        // too young here): the pusher is told, and pushes again.
        if (!(error instanceof StoreError)) throw error;
        lost++;
        await db
          .sql`update musehub_background_jobs set status = 'cancelled' where status = 'pending'`;
      }
    }
  };
  const pushing = push();
  pushing.catch(() => {});
  try {
    // On a busy machine a push may take longer than a kill.
    for (let i = 0; i < KILLS || (indexed <= PUSHES && i < 5 * KILLS); i++) {
      await killAfter(world, "gc", pick(250));
    }
  } finally {
    isOver = true;
    await pushing;
  }
  const where = `seed ${seed}: ${indexed} indexed, ${lost} collected before`;
  assert.ok(indexed > PUSHES, where);
  assert.ok(await checkRefs(world) > 0, where);
  await db.sql`update mpackd_tombstones set created_at = created_at - interval '1 day'`;
  const options = { db, store, config: world.config(), signal, graceMs: -1_000 };
  await collectGarbage(options);
  assert.ok(await checkRefs(world) > 0, where);
  const { elapsed_ms: _, dry_run: __, ...nothing } = await collectGarbage(options);
  assert.ok(Object.values(nothing).every((count) => count === 0), where);
});

Deno.test("audit killed at random moments ends as one that was not", async () => {
  const seed = Date.now() >>> 0, random = randoms(seed);
  await using world = await createWorld();
  const keys: string[] = [];
  for (let i = 0; i < 30; i++) {
    const contents = Array.from({ length: 20 }, (_, n) => sampleBytes(100 + i, 100 * i + n + 1));
    keys.push(
      await world.put(buildMpack({ objects: contents.map((content) => object({ content })) })),
    );
    await indexMpack(world.options(keys[i]));
  }
  // One is gone, and one holds other bytes of which the file system knows nothing.
  await Deno.remove(world.blobPath(keys[3]));
  const path = world.blobPath(keys[20]), { mtime } = await Deno.stat(path);
  const bytes = await Deno.readFile(path);
  bytes[bytes.length - 1] ^= 1;
  await Deno.writeFile(path, bytes);
  await Deno.utime(path, mtime!, mtime!);

  let kills = 0;
  for (let i = 0; i < 5; i++) kills += Number(await killAfter(world, "audit", random() * 120));
  const summary = await audit({
    db: world.db,
    store: world.store,
    limits: limitsOf(world.config()),
    signal,
    auditId: "killed",
    onFinding: () => {},
  });
  const where = `seed ${seed}, ${kills} kills`;
  assert.equal(summary.mpacks + summary.mpacks_checked_before, 30, where);
  assert.equal(summary.mpacks_damaged, 2, where);
  const marked = await world.db.sql`select mpack_key, count(*)::int as refs
    from musehub_object_refs join musehub_mpacks using (mpack_id)
    where damaged_at is not null group by mpack_key`;
  assert.deepEqual(
    Object.fromEntries(marked.map(({ mpack_key, refs }) => [mpack_key, refs])),
    { [keys[3]]: 20, [keys[20]]: 1 },
    where,
  );
});
