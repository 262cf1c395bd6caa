/**
 * Faults brought about by hand, and found from the console alone: a real `serve --worker`, a real
 * Chromium, and nothing but clicks. The walks print the clicks that they took.
 *
 * @module
 */

/// <reference lib="dom" />
import assert from "node:assert/strict";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { seeWorker } from "../../src/db/workers.ts";
import { recountUsage, setQuota } from "../../src/db/quotas/quotas.ts";
import { claimJobs } from "../../src/jobs/queue/claim_jobs.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { type ServerProcess, startServer } from "../support/http/server_process.ts";
import { concat } from "../support/store/blobs.ts";
import { startReceiver } from "../support/webhooks/receiver.ts";

const CHROMIUM = "/usr/bin/chromium";
const hasChromium = await Deno.stat(CHROMIUM).then(() => true, () => false);
if (!hasChromium) console.log("The console's walks are skipped: Chromium is not installed");

/** Somebody who has the console and no terminal. */
class Operator {
  readonly clicks: string[] = [];
  constructor(readonly page: Page) {}

  /** Follows a link or presses a button by its text. */
  async click(text: string): Promise<void> {
    const [found] = await this.page.$$(
      `xpath/.//*[self::a or self::button][contains(., "${text}")]`,
    );
    assert.ok(found, `"${text}" is not to be seen on ${this.page.url()}: ${await this.read()}`);
    await Promise.all([this.page.waitForNavigation(), found.click()]);
    this.clicks.push(text);
  }

  async read(): Promise<string> {
    return await this.page.$eval("main", (main) => main.textContent ?? "");
  }

  /** Waits until the page shows it, without a reload. */
  async sees(pattern: RegExp): Promise<void> {
    const { source } = pattern;
    await this.page.waitForFunction(
      (text: string) => new RegExp(text).test(document.querySelector("main")?.textContent ?? ""),
      { timeout: 30_000 },
      source,
    ).catch(async () => assert.fail(`${pattern} does not come: ${await this.read()}`));
  }
}

async function signIn(browser: Browser, { url, openToken }: ServerProcess): Promise<Operator> {
  // Each walk has its cookies for itself.
  const page = await (await browser.createBrowserContext()).newPage();
  await page.goto(`${url}/ui/login`);
  await page.type("#token", openToken);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  return new Operator(page);
}

async function packBytes(seed: number): Promise<Uint8Array<ArrayBuffer>> {
  const shape = { objects: 50, size: parseSize("2000"), seed };
  return concat(await Array.fromAsync(makeMpack(shape)));
}

async function deletedBlob(browser: Browser): Promise<void> {
  await using server = await startServer({ args: ["--worker"] });
  const { fixture } = server, { db, repo: { repoId } } = fixture;
  // The console of a process beside the one that works.
  await using pages = await startServer({ fixture, args: ["--ui-only"] });
  const bytes = await packBytes(1), mpackKey = await fixture.put(bytes);
  await Deno.remove(fixture.blobPath(mpackKey));
  const payload = { mpack_key: mpackKey };
  const { row } = await enqueue(db, {
    ...{ repoId, jobType: "mpack.index", payload, maxAttempts: 1 },
  });
  const operator = await signIn(browser, pages);
  await operator.sees(/Databaseanswers/);
  await operator.sees(/Storeanswers/);
  await operator.sees(/blob-missing/);
  await operator.click("blob-missing");
  await operator.click(row.jobId.replace("sha256:", "").slice(0, 12));
  assert.match(await operator.read(), new RegExp(mpackKey.slice(7, 19)));
  assert.match(await operator.read(), /upload has not ended/);
  // Whoever pushed it uploads once more.
  await fixture.put(bytes);
  await operator.click("Retry");
  await operator.click("Yes, retry");
  await operator.click("Overview");
  await operator.sees(/Failed in a day0/);
  console.log(`Clicks: ${operator.clicks.join(" > ")}`);
  assert.equal(operator.clicks.length, 5);
  const [{ packs }] = await db.sql`select count(*)::int as packs from musehub_mpacks`;
  assert.equal(packs, 1);
}

async function damagedPack(browser: Browser): Promise<void> {
  await using server = await startServer({ args: ["--worker"] });
  const { fixture } = server;
  const bytes = await packBytes(2), mpackKey = await fixture.put(bytes);
  await indexMpack(fixture.options(mpackKey));
  const changed = bytes.slice();
  changed[Math.floor(bytes.length / 2)] ^= 1;
  await Deno.writeFile(fixture.blobPath(mpackKey), changed);
  const operator = await signIn(browser, server);
  await operator.click("Repos");
  await operator.click("me/repo");
  assert.match(await operator.read(), /Damaged refs0/);
  await operator.click(mpackKey.slice(7, 19));
  await operator.click("Audit it");
  await operator.sees(/mpacks_damaged.{0,5}1/);
  const told = await operator.read();
  assert.match(told, /repair/);
  await operator.click("Repos");
  await operator.click("me/repo");
  assert.doesNotMatch(await operator.read(), /Damaged refs0/);
  console.log(`Clicks: ${operator.clicks.join(" > ")}`);
  assert.equal(operator.clicks.length, 6);
}

async function brokenReceiver(browser: Browser): Promise<void> {
  await using receiver = startReceiver();
  receiver.answer = () => new Response("out of disk", { status: 500 });
  await using server = await startServer({
    args: ["--worker"],
    env: { MPACK_WEBHOOK_ALLOW: "127.0.0.1" },
  });
  const { fixture } = server, operator = await signIn(browser, server);
  await operator.click("Repos");
  await operator.click("me/repo");
  await operator.click("Webhooks");
  await operator.click("Add a webhook");
  await operator.page.type("#url", receiver.url);
  await operator.click("Add it");
  const secret = /whsec_\S+?=/.exec(await operator.read())![0];
  await indexMpack(fixture.options(await fixture.put(await packBytes(3))));
  await receiver.until(1);
  await operator.click("To the webhooks");
  await operator.sees(/failing.*it answered 500 in \d+ ms: out of disk/);
  receiver.answer = () => new Response("thanks");
  await operator.click("Resend");
  await operator.sees(/delivered/);
  await operator.sees(/ok.*it answered 200 in \d+ ms: thanks/);
  console.log(`Clicks: ${operator.clicks.join(" > ")}`);
  assert.equal(operator.clicks.length, 7);
  await operator.click("Rotate the secret");
  await operator.click("Yes, rotate");
  const rotated = /whsec_\S+?=/.exec(await operator.read())![0];
  assert.notEqual(rotated, secret);
  await operator.click("To the webhooks");
  const shown = await operator.page.content();
  assert.ok(![secret, rotated].some((word) => shown.includes(word)));
  await operator.click("Remove");
  await operator.click("No, back");
  await operator.click("Remove");
  await operator.click("Yes, remove");
  await operator.sees(/The webhook is removed/);
  await operator.sees(/Nobody is told/);
}

/** A worker that was killed: its job runs by its word, and nobody works. */
async function killedWorker(browser: Browser): Promise<void> {
  await using pages = await startServer({ args: ["--ui-only"] });
  const { fixture } = pages, { db, repo: { repoId } } = fixture, worker = "host:9:dead";
  const payload = { mpack_key: await fixture.put(await packBytes(4)) };
  const { row } = await enqueue(db, { repoId, jobType: "mpack.index", payload, maxAttempts: 3 });
  await claimJobs(db, { worker, jobTypes: ["mpack.index"], leaseMs: 1, limit: 1, perRepo: 1 });
  await seeWorker(db, { worker, version: "1", concurrency: 1, running: 1, isDraining: false });
  await db.sql`update mpackd_workers set seen_at = now() - interval '2 minutes'`;
  const operator = await signIn(browser, pages);
  await operator.sees(/Workers alive0/);
  await operator.sees(/No worker was alive in the last minute. Start one/);
  await operator.click(row.jobId.replace("sha256:", "").slice(0, 12));
  await operator.sees(/Workerhost:9:dead/);
  // Somebody starts one: the page, which is still open, tells how it goes on.
  await using _ = await startServer({ fixture, args: ["--worker"] });
  await operator.sees(/Statusdone/);
  await operator.sees(/1lost.*host:9:dead/);
  await operator.click("Overview");
  await operator.sees(/Workers alive1/);
  console.log(`Clicks: ${operator.clicks.join(" > ")}`);
  assert.equal(operator.clicks.length, 2);
}

/** An owner at a limit: the overview names the tenant, the job says what to do. */
async function fullQuota(browser: Browser): Promise<void> {
  await using server = await startServer({ args: ["--worker"] });
  const { fixture } = server, { db, repo: { repoId } } = fixture;
  const tenant = { kind: "owner", name: "me" } as const;
  await setQuota(db, tenant, { packs: 1 });
  await indexMpack(fixture.options(await fixture.put(await packBytes(5))));
  await recountUsage(db, tenant);
  const payload = { mpack_key: await fixture.put(await packBytes(6)) };
  const { row } = await enqueue(db, { repoId, jobType: "mpack.index", payload, maxAttempts: 1 });
  const operator = await signIn(browser, server);
  await operator.sees(/quota-exceeded1/);
  await operator.sees(/me100%/);
  await operator.click("quota-exceeded");
  await operator.click(row.jobId.replace("sha256:", "").slice(0, 12));
  await operator.sees(/has 1 of 1 packs.*Raise it with mpackd quota set/);
  await setQuota(db, tenant, { packs: 2 });
  await operator.click("Retry");
  await operator.click("Yes, retry");
  await operator.click("Overview");
  await operator.sees(/Failed in a day0/);
  console.log(`Clicks: ${operator.clicks.join(" > ")}`);
  assert.equal(operator.clicks.length, 5);
}

Deno.test({
  name: "an operator finds faults by the console alone, and puts them right",
  ignore: !hasChromium,
  fn: async (t) => {
    const browser = await puppeteer.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
    try {
      await t.step("a blob deleted under a pending job", () => deletedBlob(browser));
      await t.step("a pack whose bytes have changed", () => damagedPack(browser));
      await t.step("a worker that was killed", () => killedWorker(browser));
      await t.step("an owner at a quota", () => fullQuota(browser));
      await t.step("a webhook whose receiver is broken", () => brokenReceiver(browser));
    } finally {
      await browser.close();
    }
  },
});
