/**
 * `gc`, `repack` and `audit`, killed at random moments.
 *
 * @module
 */

import assert from "node:assert/strict";
import { limitsOf } from "../../src/config/config.ts";
import { StoreError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { audit } from "../../src/maintenance/audit/audit.ts";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { RandomPushes } from "../support/history/random_pushes.ts";
import { drain, sampleBytes } from "../support/store/blobs.ts";
import type { ProfileOptions } from "./report.ts";
import { pause } from "./waits.ts";
import { until } from "../support/until.ts";

const CHILD = new URL("workers/maintenance_child.ts", import.meta.url).pathname;
const { signal } = new AbortController();

/** Starts the child and kills it when it is time; whether it was still at work. */
async function killWhen(
  fixture: TestFixture,
  what: "gc" | "audit" | "repack",
  isTime: () => Promise<unknown>,
): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", CHILD, what, fixture.databaseUrl, fixture.folder],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await Promise.race([isTime(), child.status]);
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
  const { signal } = await child.status;
  await reader.cancel();
  return signal === "SIGKILL";
}

/** Checks that every ref leads to bytes that hash to its id; returns how many there are. */
async function checkRefs({ db, store }: TestFixture): Promise<number> {
  const rows = await db.sql`select object_id, content_offset, r.size_bytes, blob_key, etag
    from musehub_object_refs r left join musehub_mpacks using (mpack_id)`;
  for (const { object_id, content_offset, size_bytes, blob_key, etag } of rows) {
    assert.ok(blob_key, `${object_id} points at no pack`);
    const range = { offsetBytes: content_offset, lengthBytes: size_bytes, etag };
    assert.equal(mpackKey(await drain(await store.open(blob_key, range))), object_id);
  }
  return rows.length;
}

/** Kills `gc` beside pushes and jobs. Nothing is lost, and the next `gc` leaves nothing behind. */
export async function killedGc(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, tally, share } = options, least = Math.max(8, Math.round(40 * share));
  await using fixture = await createFixture();
  const { db, store } = fixture;
  let isOver = false, indexed = 0, collected = 0;
  const push = async () => {
    while (!isOver) {
      const contents = Array.from(
        { length: 1 + random.below(6) },
        () => sampleBytes(1 + random.below(60), 1 + random.below(40)),
      );
      const objects = contents.map((content) => object({ content }));
      const bytes = buildMpack({
        objects: [...new Map(objects.map((each) => [`${each.bytes}`, each])).values()],
      });
      try {
        const job = fixture.options(await fixture.put(bytes));
        await indexMpack({ ...job, payload: { materialize: random.once(3) } });
        indexed++;
      } catch (error) {
        // The blob was collected before its job was there, or while it was half written, because
        // nothing is too young for this gc. The client is told, and pushes again.
        if (!(error instanceof StoreError)) throw error;
        collected++;
        await db
          .sql`update musehub_background_jobs set status = 'cancelled' where status = 'pending'`;
      }
    }
  };
  const pushing = push();
  pushing.catch(() => {});
  let kills = 0;
  try {
    // On a busy machine a push may take longer than a kill.
    for (; kills < least || (indexed <= 10 && kills < 5 * least); kills++) {
      const ms = random.below(250);
      await killWhen(fixture, "gc", () => pause(ms));
      tally.fault("gc killed", `after ${ms} ms`);
    }
  } finally {
    isOver = true;
    await pushing;
  }
  assert.ok(indexed > 10, `${indexed} packs were indexed`);
  assert.ok(await checkRefs(fixture) > 0);
  await db.sql`update mpackd_tombstones set created_at = created_at - interval '1 day'`;
  const gc = { db, store, config: fixture.config(), signal, graceMs: -1_000 };
  await collectGarbage(gc);
  assert.ok(await checkRefs(fixture) > 0);
  const { elapsed_ms: _, dry_run: __, ...nothing } = await collectGarbage(gc);
  assert.deepEqual(Object.values(nothing).filter((count) => count !== 0), []);
  return { kills, indexed, "collected before the job": collected };
}

/**
 * Kills `gc` and `repack` beside pushes of histories with forces, deletions and tags. All that a branch
 * or a tag reaches can be read at any time, and in the end nothing else is left.
 */
export async function killedHistory(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, tally, share } = options, kills = Math.max(6, Math.round(40 * share));
  await using fixture = await createFixture();
  const { db, store } = fixture, pushes = new RandomPushes(fixture, random.below(2 ** 31));
  for (let kill = 0; kill < kills; kill++) {
    const ms = random.below(400);
    const killing = killWhen(fixture, "repack", () => pause(ms)).then(async () => {
      // What a killed gc holds would be free in a minute, what it has named in an hour.
      await db.sql`update mpackd_collections set expires_at = now() where ended_at is null`;
      await db.sql`delete from mpackd_tombstones`;
    });
    await Promise.all([killing, pushes.pushes()]);
    tally.fault("gc or repack killed", `after ${ms} ms`);
    await pushes.check();
  }
  await collectGarbage({ db, store, config: fixture.config(), signal, graceMs: -1_000 });
  await pushes.check();
  await pushes.checkNothingElse();
  const [{ packs }] = await db.sql`select count(*)::int as packs from musehub_mpacks`;
  return { kills, packs };
}

/** Kills `audit`. In the end it has the findings of an audit that was not killed. */
export async function killedAudit(options: ProfileOptions): Promise<Record<string, number>> {
  const { random, tally } = options, packs = 30;
  await using fixture = await createFixture();
  const keys: string[] = [];
  for (let i = 0; i < packs; i++) {
    const contents = Array.from({ length: 20 }, (_, n) => sampleBytes(100 + i, 100 * i + n + 1));
    keys.push(
      await fixture.put(buildMpack({ objects: contents.map((content) => object({ content })) })),
    );
    await indexMpack(fixture.options(keys[i]));
  }
  // One pack is gone, and one has a wrong byte that its modification time does not show.
  await Deno.remove(fixture.blobPath(keys[3]));
  const path = fixture.blobPath(keys[20]), { mtime } = await Deno.stat(path);
  const bytes = await Deno.readFile(path);
  bytes[bytes.length - 1] ^= 1;
  await Deno.writeFile(path, bytes);
  await Deno.utime(path, mtime!, mtime!);

  const kills = 4;
  for (let kill = 0; kill < kills; kill++) {
    // By the packs that are checked: the right time depends on the machine.
    const enough = Math.floor((kill + random.below(1_000) / 1_000) * packs / (kills + 1));
    const isTime = () =>
      until(`${enough} packs are checked`, async () => await checkedPacks(fixture) >= enough, {
        everyMs: 1,
        found: () => checkedPacks(fixture),
      });
    assert.ok(await killWhen(fixture, "audit", isTime), `audit ended before pack ${enough}`);
    tally.fault("audit killed", `after ${enough} packs`);
  }
  const checkedBefore = await checkedPacks(fixture);
  const summary = await audit({
    db: fixture.db,
    store: fixture.store,
    limits: limitsOf(fixture.config()),
    signal,
    auditId: "killed",
    onFinding: () => {},
  });
  assert.equal(summary.mpacks + summary.mpacks_checked_before, packs);
  // The server may have finished a statement of the dead process meanwhile.
  assert.ok(summary.mpacks_checked_before >= checkedBefore);
  assert.equal(summary.mpacks_damaged, 2);
  const marked = await fixture.db.sql`select mpack_key, count(*)::int as refs
    from musehub_object_refs join musehub_mpacks using (mpack_id)
    where damaged_at is not null group by mpack_key`;
  assert.deepEqual(
    Object.fromEntries(marked.map(({ mpack_key, refs }) => [mpack_key, refs])),
    { [keys[3]]: 20, [keys[20]]: 1 },
  );
  return { packs, "checked before the last run": summary.mpacks_checked_before };
}

async function checkedPacks({ db }: TestFixture): Promise<number> {
  const [{ count }] = await db.sql`select count(*)::int from mpackd_audited_packs`;
  return count;
}
