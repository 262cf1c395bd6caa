import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { OptimisticInsert } from "../../../src/db/publish/optimistic_insert.ts";
import { publish } from "../../../src/db/publish/publish.ts";
import type { PublishOutcome } from "../../../src/db/publish/publish_outcome.ts";
import { publishPacks } from "../../../src/db/publish/publish_packs.ts";
import { stageBatch } from "../../../src/db/publish/stage.ts";
import { LeaseLostError } from "../../../src/errors.ts";
import type { Job } from "../../../src/jobs/queue/mod.ts";
import { addRepos, openTestDatabase } from "../../support/postgres/database.ts";
import { PublishModel, rowsOf, withoutIds } from "../../support/postgres/publish_model.ts";
import { dumpModelled } from "../../support/postgres/publish_oracle.ts";
import { columns, pack, startJob, takeOver } from "../../support/process/leases.ts";

const ROUNDS = Number(Deno.env.get("MPACKD_FUZZ_ROUNDS") ?? 120);
const SEED = Number(Deno.env.get("MPACKD_FUZZ_SEED") ?? 1);
const REPOS = ["repo-1", "repo-2", "repo-3"];

Deno.test(`publish leaves what the model leaves, whatever comes (seed ${SEED})`, async () => {
  let seed = SEED;
  const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const pick = (n: number) => Math.floor(random() * n);
  await using test = await openTestDatabase();
  const { db } = test, model = new PublishModel(), optimistic = new OptimisticInsert();
  await addRepos(db, ...REPOS);
  const seen: Record<string, number> = {};

  /** A pack of few ids, many of them known: sorted or not, repeated, contradictory, cut short. */
  const randomPack = (name: string) => {
    const sortedUnique = random() < 0.6, repoId = REPOS[pick(REPOS.length)];
    let ids = Array.from(
      { length: pick(8) },
      () => `id-${random() < (sortedUnique ? 0.5 : 0.8) ? pick(20) : pick(4_000)}`,
    );
    if (sortedUnique) ids = [...new Set(ids)].sort();
    const sizeOf = (id: string, i: number) => !sortedUnique && random() < 0.1 ? 99 + i : id.length;
    const all = columns(...ids.map((id, i): [string, number] => [id, sizeOf(id, i)]));
    const part = (from: number, to: number) => ({
      length: to - from,
      idsText: ids.slice(from, to).join(","),
      contentOffsets: all.contentOffsets.slice(from, to),
      sizesBytes: all.sizesBytes.slice(from, to),
    });
    const staged = random() < 0.4 ? pick(ids.length + 1) : 0, half = pick(staged + 1);
    const batches = staged > 0 ? [part(0, half), part(half, staged)] : [];
    const mpackKey = `sha256:${name}`;
    return {
      batches,
      rows: rowsOf(all),
      isLost: random() < 0.05,
      isTombstoned: random() < 0.05,
      pack: pack({
        repoId,
        mpackKey,
        blobKey: `mpacks/${repoId}/${mpackKey}`,
        storageUri: `mpack://${mpackKey}`,
        etag: random() < 0.1 ? `"e${pick(3)}"` : "e1",
        objects: ids.length + (random() < 0.03 ? 1 : 0),
        sortedUnique,
        batches: batches.length,
        isStageFresh: random() < 0.7,
        inline: part(staged, ids.length),
      }),
    };
  };

  for (let round = 0; round < ROUNDS; round++) {
    await db.sql`delete from mpackd_tombstones`;
    const group = Array.from(
      { length: 1 + pick(6) },
      (_, i) => randomPack(random() < 0.2 ? `again-${i}-${pick(5)}` : `new-${round}-${i}`),
    );
    const jobs: { readonly lease: Job; readonly pack: typeof group[number]["pack"] }[] = [];
    for (const { batches, pack, isLost, isTombstoned } of group) {
      const { repoId } = pack, lease = await startJob(db, repoId);
      for (const [batch, rows] of batches.entries()) {
        await stageBatch(db, lease, { leaseMs: 60_000, batch, progress: {}, repoId, rows });
      }
      if (isLost) await takeOver(db, lease.jobId);
      if (isTombstoned) {
        await db.sql`insert into mpackd_tombstones (name) values (${pack.blobKey})`;
      }
      jobs.push({ lease, pack });
    }
    const outcomes = new Map<string, PublishOutcome>();
    // Those in memory go together, each of the others alone; as the Publisher does.
    const order = [...group.keys()].sort((a, b) =>
      group[a].batches.length - group[b].batches.length
    );
    const together = jobs.filter(({ pack }) => pack.batches === 0);
    if (together.length > 0) {
      const options = { deadlineMs: 30_000, optimistic: random() < 0.7 ? optimistic : undefined };
      for (const [id, outcome] of await publishPacks(db, together, options)) {
        outcomes.set(id, outcome);
      }
    }
    for (const { lease, pack } of jobs.filter(({ pack }) => pack.batches > 0)) {
      try {
        outcomes.set(lease.jobId, await publish(db, lease, pack));
      } catch (error) {
        if (!(error instanceof LeaseLostError)) throw error;
      }
    }
    for (const i of order) {
      const { pack, rows, isLost, isTombstoned } = group[i],
        found = outcomes.get(jobs[i].lease.jobId);
      const expected = isLost ? undefined : model.publish(pack, rows, isTombstoned);
      assert.deepEqual(found && withoutIds(found), expected, `round ${round}, pack ${i}`);
      if (found?.outcome === "published") {
        const { result, objectsWritten, objectRefsWritten } = found;
        assert.equal(result.objects_written, objectsWritten);
        assert.equal(result.object_refs_written, objectRefsWritten);
      }
      const name = `${found?.outcome ?? "lost"}${pack.batches > 0 ? ", staged" : ""}`;
      seen[name] = (seen[name] ?? 0) + 1;
      if (found?.outcome === "published" && found.healedRefs > 0) seen.healed = 1;
    }
    assert.deepEqual(await dumpModelled(db), model.dump(), `round ${round}`);
    await noStagedRowsOfDoneJobs(db);
    if (random() < 0.3) {
      const repoId = REPOS[pick(3)],
        id = `id-${pick(20)}`,
        damage = random() < 0.5 ? "lie" : "loss";
      model.damage(repoId, id, damage);
      await db.sql`update musehub_object_refs set damaged_at = now(), damage = ${damage}
        where repo_id = ${repoId} and object_id = ${id}`;
    }
  }
  // The rounds reached every outcome, in memory and staged.
  const outcomes = ["conflict", "lost", "published", "rows-missing", "tombstoned"];
  assert.deepEqual(
    Object.keys(seen).sort(),
    [...outcomes.flatMap((name) => [name, `${name}, staged`]), "healed"].sort(),
  );
});

async function noStagedRowsOfDoneJobs({ sql }: Database): Promise<void> {
  const rows = await sql`select from mpack_staged_objects s
    join musehub_background_jobs j using (job_id) where j.status = 'done'`;
  assert.equal(rows.length, 0);
}
