import assert from "node:assert/strict";
import type { QuotaError } from "../../../src/errors.ts";
import { quotaError } from "../../../src/db/quotas/quota.ts";
import { openTestDatabase } from "../../support/postgres/database.ts";
import { installOutboxLog, wrongOutbox } from "./outbox.ts";
import { installUsageLog, limitsExceeded, wrongRefusals, wrongUsage } from "./usage.ts";

Deno.test("the oracle of quotas finds wrong counts, limits exceeded, and refusals in spite of room", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test, { sql } = db;
  await installUsageLog(db);
  await sql`insert into musehub_repos (repo_id, owner, slug) values ('r', 'ada', 'r')`;
  await sql`insert into musehub_mpacks (repo_id, mpack_key, blob_key, etag, size_bytes, objects)
    values ('r', 'k', 'b', 'e', 100, 3)`;
  const limits = new Map([["owner ada", { bytes: 120 }]]);
  await sql`insert into mpackd_usage (kind, name, bytes, objects, packs, counted_at)
    values ('owner', 'ada', 100, 3, 1, now())`;
  const refusal = (used: number, asked: number) =>
    quotaError({ of: "owner", what: "bytes", used, limit: 120, asked }) as QuotaError;
  await t.step("nothing where all is well", async () => {
    assert.deepEqual(await wrongUsage(db), []);
    assert.deepEqual(await limitsExceeded(db, limits), []);
    assert.deepEqual(await wrongRefusals(db, limits, [refusal(100, 21)]), []);
  });
  await t.step("room, and a number that nobody ever had", async () => {
    const found = await wrongRefusals(db, limits, [refusal(100, 20), refusal(99, 40)]);
    assert.match(found[0], /^there was room/);
    assert.match(found[1], /^nobody had so much/);
  });
  await t.step("a wrong count, and too much", async () => {
    await sql`update mpackd_usage set bytes = 121`;
    assert.match((await wrongUsage(db)).join(), /has 100 bytes.* is said to have 121/);
    assert.deepEqual(await limitsExceeded(db, limits), ["owner ada had 121 bytes of 120"]);
  });
});

Deno.test("the oracle of webhooks finds what was not told, told twice, or told of nothing", async (t) => {
  await using test = await openTestDatabase();
  const { db } = test, { sql } = db;
  await installOutboxLog(db);
  await sql`insert into musehub_repos (repo_id, owner, slug) values ('r', 'ada', 'r')`;
  await sql`insert into mpackd_webhooks (webhook_id, repo_id, url, host, events, secret)
    values ('w', 'r', 'u', 'h', '{branch.moved}', 's')`;
  const hooks = [{ webhookId: "w", repoId: "r", events: ["branch.moved"] }];
  const problems = async () => (await wrongOutbox(db, hooks)).problems.join();
  await sql`insert into musehub_branches (repo_id, name, head_commit_id) values ('r', 'main', 'c')`;
  await t.step("nothing where all is well", async () => assert.equal(await problems(), ""));
  await t.step("the same by another transaction", async () => {
    await sql`insert into mpackd_deliveries (webhook_id, event, payload)
      select webhook_id, event, payload from mpackd_deliveries`;
    assert.match(await problems(), /is told of .* which was not/);
    await sql`delete from outbox_log where xid = (select max(xid) from outbox_log)`;
  });
  await t.step("twice", async () => {
    await sql`insert into outbox_log select * from outbox_log`;
    assert.match(await problems(), /twice/);
  });
  await t.step("not at all", async () => {
    await sql`delete from outbox_log`;
    assert.match(await problems(), /is not told of .* branch.moved main - c/);
  });
});
