import assert from "node:assert/strict";
import fc from "fast-check";
import { arrayLiteral } from "../../../src/db/client/array_literal.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { collectPacks, collectPacksOf, collectRepo } from "../../../src/db/garbage.ts";
import { publishRepack } from "../../../src/db/history/moves.ts";
import { publish } from "../../../src/db/publish/publish.ts";
import { publishPacks } from "../../../src/db/publish/publish_packs.ts";
import type { PublishOutcome } from "../../../src/db/publish/publish_outcome.ts";
import type { PublishPack } from "../../../src/db/publish/publish_pack.ts";
import { Publisher } from "../../../src/db/publish/publisher.ts";
import { admitPush } from "../../../src/db/quotas/admit_push.ts";
import type { QuotaDefaults } from "../../../src/db/quotas/quota.ts";
import {
  listUsage,
  recountAll,
  recountUsage,
  removeQuota,
  setQuota,
  type Tenant,
  UNLIMITED,
} from "../../../src/db/quotas/quotas.ts";
import { deleteRepo } from "../../../src/db/repos.ts";
import { stageBatch } from "../../../src/db/publish/stage.ts";
import { QuotaError } from "../../../src/errors.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";
import { openGate } from "../../support/postgres/gate.ts";
import { columns, pack, startJob } from "../../support/process/leases.ts";

const ADA: Tenant = { kind: "owner", name: "ada" }, BOB: Tenant = { kind: "owner", name: "bob" };
const NO_DEFAULTS: QuotaDefaults = { owner: {}, repo: {} };
const REPOS = ["ada-1", "ada-2", "bob-1", "bob-2"] as const;

async function open() {
  const test = await openTestDatabase({ maxConnections: 12 });
  await test.db.sql`insert into musehub_repos (repo_id, owner, slug)
    select id, split_part(id, '-', 1), id from unnest(${arrayLiteral(REPOS)}::text[]) id`;
  return test;
}

/** A pack of nothing that gc needs to keep. */
function bare(repoId: string, name: string, changes: Partial<PublishPack> = {}): PublishPack {
  const none = { commits: 0, snapshots: 0, tags: 0, isPush: true };
  return pack({
    ...none,
    repoId,
    mpackKey: `sha256:${name}`,
    storageUri: `mpack://sha256:${name}`,
    blobKey: `mpacks/${repoId}/sha256:${name}`,
    inline: columns(),
    ...changes,
  });
}

async function push(db: Database, pack: PublishPack): Promise<PublishOutcome> {
  return await publish(db, await startJob(db, pack.repoId), pack);
}

async function usageOf(db: Database, tenant: Tenant, defaults: QuotaDefaults = NO_DEFAULTS) {
  const [found] = await listUsage(db, { defaults, tenant });
  return found && [found.used.bytes, found.used.objects, found.used.packs];
}

async function limit(db: Database, tenant: Tenant, limits: Parameters<typeof setQuota>[2]) {
  await setQuota(db, tenant, limits);
  await recountUsage(db, tenant);
}

Deno.test("a publish is refused at the quota of its owner or repo, and leaves nothing", async (t) => {
  await using test = await open();
  const { db } = test;
  await push(db, bare("ada-1", "before", { sizeBytes: 400 }));
  await limit(db, ADA, { bytes: 1_000, packs: 3 });
  const rows = () => db.sql`select count(*)::int as n from musehub_mpacks`;
  await t.step("what was there counts", async () => {
    assert.deepEqual(await usageOf(db, ADA), [400, 0, 1]);
  });
  await t.step("up to the last byte, with a warning from 80 %", async () => {
    const small = await push(db, bare("ada-2", "small", { sizeBytes: 399 }));
    assert.ok(small.outcome === "published" && small.result.quota_warnings === undefined);
    const last = await push(db, bare("ada-1", "last", { sizeBytes: 201 }));
    assert.ok(last.outcome === "published");
    assert.deepEqual(last.result.quota_warnings, [
      { of: "owner", what: "bytes", used: 1_000, limit: 1_000 },
      { of: "owner", what: "packs", used: 3, limit: 3 },
    ]);
  });
  await t.step("no byte more", async () => {
    const [before] = await rows();
    const one = columns(["one", 1]);
    const over = await push(db, bare("ada-2", "over", { sizeBytes: 1, inline: one, objects: 1 }));
    assert.deepEqual(over, {
      outcome: "over-quota",
      refusal: { of: "owner", what: "bytes", used: 1_000, limit: 1_000, asked: 1 },
    });
    assert.deepEqual([...await rows()], [before]);
    assert.deepEqual([...await db.sql`select from musehub_objects`], []);
  });
  await t.step("what the repo has already adds nothing", async () => {
    const again = await push(db, bare("ada-1", "last", { sizeBytes: 201, etag: "e2" }));
    assert.equal(again.outcome, "published");
    assert.deepEqual(await usageOf(db, ADA), [1_000, 0, 3]);
  });
  await t.step("a repo's own limit, and no other tenant's", async () => {
    await limit(db, { kind: "repo", name: "bob-1" }, { objects: 1 });
    const two = { inline: columns(["a", 1], ["b", 1]), objects: 2, sortedUnique: true };
    assert.equal((await push(db, bare("bob-1", "two", two))).outcome, "over-quota");
    assert.equal((await push(db, bare("bob-2", "two", two))).outcome, "published");
  });
  await t.step("staged rows, too", async () => {
    const lease = await startJob(db, "ada-2");
    const rows = columns(["x", 1], ["y", 1]);
    await stageBatch(db, lease, {
      leaseMs: 60_000,
      progress: {},
      checkpoint: {},
      batch: 0,
      rows,
      repoId: "ada-2",
    });
    const staged = bare("ada-2", "staged", { batches: 1, objects: 2, sortedUnique: true });
    assert.equal((await publish(db, lease, staged)).outcome, "over-quota");
  });
  await t.step("a removed quota limits nothing, and nothing is counted", async () => {
    assert.ok(await removeQuota(db, ADA));
    assert.equal((await push(db, bare("ada-2", "free", { sizeBytes: 1 }))).outcome, "published");
    assert.equal(await usageOf(db, ADA), undefined);
  });
});

Deno.test("a group of packs is published but for those over a quota", async () => {
  await using test = await open();
  const { db } = test, publisher = new Publisher(db);
  await limit(db, ADA, { packs: 2 });
  const packs = REPOS.flatMap((repo) =>
    ["1", "2", "3"].map((name) => bare(repo, `${repo}${name}`))
  );
  const outcomes = await Promise.all(packs.map(async (pack) => {
    const { outcome } = await publisher.publish(await startJob(db, pack.repoId), pack);
    return `${pack.repoId.slice(0, 3)} ${outcome}`;
  }));
  const count = (text: string) => outcomes.filter((outcome) => outcome === text).length;
  assert.deepEqual([count("ada published"), count("ada over-quota"), count("bob published")], [
    2,
    4,
    6,
  ]);
  assert.deepEqual(await usageOf(db, ADA), [2_000, 0, 2]);
});

Deno.test("of a group, a pack that its repo has already adds nothing", async () => {
  await using test = await open();
  const { db } = test;
  await limit(db, ADA, { packs: 2 });
  await push(db, bare("ada-1", "old"));
  const packs = [bare("ada-1", "old", { etag: "moved" }), bare("ada-2", "new")];
  const group = await Promise.all(
    packs.map(async (pack) => ({ lease: await startJob(db, pack.repoId), pack })),
  );
  const outcomes = await publishPacks(db, group, { deadlineMs: 30_000 });
  assert.deepEqual([...outcomes.values()].map(({ outcome }) => outcome), [
    "published",
    "published",
  ]);
  assert.deepEqual(await usageOf(db, ADA), [2_000, 0, 2]);
});

Deno.test("two pushes at once cannot both take the last byte", async () => {
  await using test = await open();
  const { db } = test;
  await limit(db, ADA, { bytes: 10_000 });
  const pushes = Array.from(
    { length: 16 },
    (_, i) => push(db, bare(REPOS[i % 2], `p${i}`, { sizeBytes: 1_000 })),
  );
  const outcomes = (await Promise.all(pushes)).map(({ outcome }) => outcome);
  assert.equal(outcomes.filter((outcome) => outcome === "published").length, 10);
  assert.deepEqual(await usageOf(db, ADA), [10_000, 0, 10]);
});

Deno.test("an owner whose row is locked delays no other owner", async () => {
  await using test = await open();
  const { db } = test;
  await limit(db, ADA, { packs: 9 });
  await limit(db, BOB, { packs: 9 });
  await using gate = await openGate(test.url);
  await gate.close();
  const holder = db.sql`with held as materialized (
      select name from mpackd_usage where name = 'ada' for update
    ) select pg_advisory_xact_lock(1) from held`.execute();
  await gate.waiting(1);
  const waiting = push(db, bare("ada-1", "waits"));
  await gate.waiting(2);
  assert.equal((await push(db, bare("bob-1", "goes"))).outcome, "published");
  await gate.open();
  await holder;
  assert.equal((await waiting).outcome, "published");
});

Deno.test("defaults limit every tenant without limits of its own", async (t) => {
  await using test = await open();
  const { db } = test;
  const quotaDefaults: QuotaDefaults = { owner: { packs: 1 }, repo: { bytes: 5_000 } };
  const pushed = async (repo: string, name: string, sizeBytes = 1_000) => {
    const { outcome } = await push(db, bare(repo, name, { quotaDefaults, sizeBytes }));
    return outcome;
  };
  await t.step("counted from the first push on", async () => {
    assert.deepEqual([await pushed("ada-1", "a"), await pushed("ada-2", "b")], [
      "published",
      "over-quota",
    ]);
    assert.deepEqual(await usageOf(db, ADA, quotaDefaults), [1_000, 0, 1]);
  });
  await t.step("a limit of its own goes first, and may be none", async () => {
    await limit(db, ADA, { packs: UNLIMITED });
    assert.deepEqual([await pushed("ada-2", "b", 6_000), await pushed("ada-2", "c")], [
      "over-quota",
      "published",
    ]);
  });
});

Deno.test("admitPush() refuses before anything is stored, and counts the pushes of an hour", async (t) => {
  await using test = await open();
  const { db } = test;
  const admit = async (repoId: string, given: object = {}, isPush = true) =>
    (await admitPush(db, { repoId, ...given }, { defaults: NO_DEFAULTS, isPush }))?.leftBytes;
  const refused = async (repoId: string, given?: object) => {
    try {
      return await admit(repoId, given);
    } catch (error) {
      assert.ok(error instanceof QuotaError);
      return [error.quota!.of, error.quota!.what, error.retryable];
    }
  };
  await t.step("without quotas", async () => assert.equal(await admit("ada-1"), undefined));
  await limit(db, ADA, { bytes: 1_000, pushes: 5 });
  await limit(db, { kind: "repo", name: "ada-1" }, { pushes: 2 });
  await t.step("what is left", async () => {
    assert.equal(await admit("ada-1", { sizeBytes: 1_000 }), 1_000);
    assert.deepEqual(await refused("ada-2", { sizeBytes: 1_001 }), ["owner", "bytes", false]);
  });
  await t.step("the pushes of the repo, then those of its owner", async () => {
    assert.equal(await admit("ada-1"), 1_000);
    assert.deepEqual(await refused("ada-1"), ["repo", "pushes", true]);
    // A look that is no push of its own.
    assert.equal(await admit("ada-1", {}, false), 1_000);
    const many = await Promise.all(Array.from({ length: 8 }, () => refused("ada-2")));
    assert.equal(many.filter((one) => !Array.isArray(one)).length, 3);
  });
  await t.step("in the next hour again", async () => {
    await db.sql`update mpackd_usage set hour_began_at = hour_began_at - interval '1 hour'`;
    assert.equal(await admit("ada-1"), 1_000);
  });
  await t.step("with no room left: only what the repo has already", async () => {
    await push(db, bare("ada-2", "all", { sizeBytes: 1_000 }));
    assert.deepEqual(await refused("ada-2"), ["owner", "bytes", false]);
    assert.equal(await admit("ada-2", { mpackKey: "sha256:all", sizeBytes: 1_000 }), undefined);
  });
});

Deno.test("whatever is pushed, replaced and collected, usage is what there is, and never too much", async () => {
  await using test = await open();
  const { db } = test, publisher = new Publisher(db);
  const LIMITS = { bytes: 6_000, objects: 40, packs: 8 };
  const repo = fc.constantFrom(...REPOS), size = fc.integer({ min: 0, max: 1_500 });
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ does: fc.constant("push"), repo, size }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant("collect"), repo, size }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant("repack"), repo, size }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant("delete"), repo, size }) },
  );
  let names = 0;
  const run = async ({ does, repo, size }: { does: string; repo: string; size: number }) => {
    const name = `n${++names}`;
    const ids = async () => {
      const rows = await db.sql<{ id: string }[]>`
        select mpack_id as id from musehub_mpacks
        where repo_id = ${repo} and replaced_at is null order by 1 limit 3`;
      return rows.map(({ id }) => Number(id));
    };
    if (does === "push") {
      const inline = columns(...Array.from({ length: size % 7 }, (_, i): [string, number] => [
        `${name}-${i}`,
        1,
      ]));
      const pushed = bare(repo, name, { sizeBytes: size, objects: size % 7, inline });
      // A repo that is being deleted takes no job.
      const job = await startJob(db, repo).catch(() => undefined);
      if (job !== undefined) await publisher.publish(job, pushed);
      await db.sql`delete from musehub_object_refs where repo_id = ${repo}`;
    } else if (does === "collect") await collectPacks(db, await ids());
    else if (does === "repack") {
      const mpackIds = await ids();
      if (mpackIds.length === 0) return;
      const counts = { commit: 0, snapshot: 0, object: 0 };
      const made = { mpackKey: `sha256:${name}`, blobKey: name, etag: name, sizeBytes: 0, counts };
      await publishRepack(db, { repoId: repo, runId: name, mpackIds }, made);
    } else {
      await deleteRepo(db, { repoId: repo });
      await collectPacksOf(db, repo);
      await db.sql`update musehub_repos set deleted_at = null where repo_id = ${repo}`;
    }
  };
  const steps = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(steps, async (rounds) => {
      await db.sql`truncate musehub_mpacks, mpackd_usage, mpackd_quotas`;
      await limit(db, ADA, LIMITS);
      await limit(db, { kind: "repo", name: "bob-1" }, LIMITS);
      for (const round of rounds) {
        // Pushes at once, and beside them one kind of maintenance after the other.
        const isPush = ({ does }: { does: string }) => does === "push";
        const others = async () => {
          for (const one of round.filter((one) => !isPush(one))) await run(one);
        };
        await Promise.all([others(), ...round.filter(isPush).map(run)]);
        assert.deepEqual(await recountAll(db), []);
        for (const { used } of await listUsage(db, { defaults: NO_DEFAULTS })) {
          assert.ok(used.bytes <= LIMITS.bytes && used.objects <= LIMITS.objects);
          assert.ok(used.packs <= LIMITS.packs);
        }
      }
    }),
    { numRuns: 8 },
  );
});

Deno.test("collectRepo() removes the quota and the usage of the repo", async () => {
  await using test = await open();
  const { db } = test;
  await limit(db, { kind: "repo", name: "ada-1" }, { packs: 1 });
  await deleteRepo(db, { repoId: "ada-1" });
  await collectRepo(db, "ada-1");
  assert.deepEqual([...await db.sql`select from mpackd_quotas`], []);
  assert.deepEqual([...await db.sql`select from mpackd_usage`], []);
});
