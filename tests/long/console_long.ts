/**
 * The console in a real Chromium, where one is installed: every page, every action, by keyboard, on a
 * phone, in the dark, and with 200,000 jobs. `MPACKD_UPDATE=1` writes the screenshots of the README.
 *
 * @module
 */

/// <reference lib="dom" />
import assert from "node:assert/strict";
import axe from "axe-core";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { createRepo } from "../../src/db/repos.ts";
import { testWebhook } from "../../src/db/webhooks/deliveries.ts";
import { addWebhook } from "../../src/db/webhooks/webhooks.ts";
import { putSchedule } from "../../src/jobs/schedules/schedules.ts";
import { seeWorker } from "../../src/db/workers.ts";
import { enqueue } from "../../src/jobs/queue/enqueue.ts";
import { claimJobs } from "../../src/jobs/queue/claim_jobs.ts";
import { failJob } from "../../src/jobs/queue/fail_job.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { concat } from "../support/store/blobs.ts";
import { startApi, type TestApi } from "../support/http/api.ts";

const CHROMIUM = "/usr/bin/chromium";
const hasChromium = await Deno.stat(CHROMIUM).then(() => true, () => false);
if (!hasChromium) console.log("The console's tests are skipped: Chromium is not installed");

async function launch(): Promise<Browser & AsyncDisposable> {
  const browser = await puppeteer.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  return Object.assign(browser, { [Symbol.asyncDispose]: () => browser.close() });
}

/** A server with a repo, an indexed pack, a failed job and a worker. */
async function furnish(
  api: TestApi,
): Promise<{ readonly failed: string; readonly mpackKey: string }> {
  const { fixture } = api, { db, repo } = fixture;
  const shape = { objects: 200, size: parseSize("2000"), seed: 3 };
  const mpackKey = await fixture.put(concat(await Array.fromAsync(makeMpack(shape))));
  await indexMpack({ ...fixture.options(mpackKey), payload: { branch: "main" } });
  await seeWorker(db, {
    worker: "host:1:ab",
    version: "1",
    concurrency: 4,
    running: 0,
    isDraining: false,
  });
  const { webhookId } = await addWebhook(db, {
    repoId: repo.repoId,
    url: `https://hooks.test/${"a-long-path/".repeat(20)}`,
    host: "hooks.test",
    events: ["pack.published", "branch.moved"],
  });
  await testWebhook(db, repo.repoId, webhookId);
  await db.sql`update mpackd_deliveries set status = 'dead', attempts = 9, ended_at = now(),
    log = jsonb_build_array(jsonb_build_object('attempt', 9, 'at', now(), 'status', 500,
      'duration_ms', 12, 'answer', repeat('no', 250), 'error', 'it answered 500'))`;
  await db.sql`update mpackd_webhooks set disabled_at = now(), note = 'no delivery has succeeded'`;
  await putSchedule(db, { name: "nightly", cron: "0 3 * * *", task: "gc", options: {} });
  const { row } = await enqueue(db, {
    repoId: repo.repoId,
    jobType: "mpack.index",
    payload: { mpack_key: `sha256:${"d".repeat(64)}` },
    maxAttempts: 1,
  });
  const [job] = await claimJobs(db, {
    worker: "host:1:ab",
    jobTypes: ["mpack.index"],
    leaseMs: 60_000,
    limit: 1,
    perRepo: 9,
  });
  await failJob(db, job, {
    error: { code: "blob-missing", message: "Cannot find the blob", retryable: false },
    retry: false,
    baseDelayMs: 0,
    maxDelayMs: 0,
  });
  return { failed: row.jobId, mpackKey };
}

/** Opens a page and keeps what the browser complains about. */
async function openPage(browser: Browser): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage(), complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warn") complaints.push(message.text());
  });
  return { page, complaints };
}

async function signIn(page: Page, api: TestApi): Promise<void> {
  await page.goto(`${api.url}/ui/login`);
  await page.type("#token", api.admin.token);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.equal(page.url(), `${api.url}/ui`);
}

Deno.test({
  name: "every page of the console is accessible, fits a phone, and runs under its policy",
  ignore: !hasChromium,
  fn: async () => {
    await using api = await startApi({ worker: false });
    const { failed, mpackKey } = await furnish(api);
    await using browser = await launch();
    const { page, complaints } = await openPage(browser);
    // The audit script is injected, which the console's policy forbids to everybody else.
    await page.setBypassCSP(false);
    await signIn(page, api);
    const paths = [
      "/ui",
      "/ui/jobs",
      `/ui/jobs/${failed}`,
      "/ui/repos",
      "/ui/repos/me/repo",
      `/ui/repos/me/repo/packs/${mpackKey}`,
      "/ui/repos/me/repo/webhooks",
      "/ui/repos/me/repo/webhooks/new",
      "/ui/schedules",
      "/ui/settings",
    ];
    for (const scheme of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      for (const width of [1200, 380]) {
        await page.setViewport({ width, height: 800 });
        for (const path of paths) {
          await page.goto(api.url + path);
          if (path === "/ui/repos/me/repo") {
            await page.waitForSelector("[aria-label='Branches'] tr a");
          }
          const overflow = await page.evaluate(() =>
            document.documentElement.scrollWidth - document.documentElement.clientWidth
          );
          assert.equal(overflow, 0, `${path} is wider than ${width} pixels`);
          // Evaluated over the debugger's door, so the policy does not apply to it.
          await page.evaluate(axe.source);
          const { violations } = await page.evaluate("axe.run()") as {
            violations: { id: string; impact: string; nodes: { html: string }[] }[];
          };
          const serious = violations.filter(({ impact }) => /serious|critical/.test(impact));
          assert.deepEqual(
            serious.map(({ id, nodes }) => `${path} ${scheme}: ${id} ${nodes[0].html}`),
            [],
          );
        }
      }
    }
    assert.deepEqual(complaints, []);
    if (Deno.env.get("MPACKD_UPDATE") === "1") await takePictures(page, api, failed);
  },
});

async function takePictures(page: Page, api: TestApi, failed: string): Promise<void> {
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await page.setViewport({ width: 1100, height: 700 });
  for (const [name, path] of [["overview", "/ui"], ["job", `/ui/jobs/${failed}`]]) {
    await page.goto(api.url + path);
    await page.screenshot({
      path: new URL(`../../docs/console_${name}.png`, import.meta.url).pathname as `${string}.png`,
    });
  }
}

Deno.test({
  name: "by keyboard alone a failed job is found, retried and cancelled, and the page follows",
  ignore: !hasChromium,
  fn: async () => {
    await using api = await startApi({ worker: false });
    const { failed } = await furnish(api);
    await using browser = await launch();
    const { page, complaints } = await openPage(browser);
    await signIn(page, api);
    /** Goes on with the Tab key until this is focused, and presses Enter. */
    const reach = async (text: string) => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        const focused = await page.evaluate(() => {
          const { activeElement: found } = document;
          return found?.matches("a, button") ? found.textContent : "";
        });
        if (!focused?.includes(text)) continue;
        await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
        return;
      }
      assert.fail(`"${text}" is not reached by keyboard`);
    };
    await reach("blob-missing");
    await reach(failed.replace("sha256:", "").slice(0, 12));
    assert.match(
      await page.$eval("main", (main) => main.textContent ?? ""),
      /upload has not ended/,
    );
    await reach("Retry");
    await reach("Yes, retry");
    assert.match(
      await page.$eval(".note", (note) => note.textContent ?? ""),
      /1 of 1 job put back/,
    );

    // The overview shows without a reload what another process does.
    await page.goto(`${api.url}/ui`);
    const waiting = () =>
      page.$$eval(".figure", (figures) => figures.map((figure) => figure.textContent));
    assert.ok((await waiting()).includes("Waiting1"));
    const { db, repo } = api.fixture;
    await enqueue(db, {
      repoId: repo.repoId,
      jobType: "mpack.index",
      payload: { mpack_key: `sha256:${"e".repeat(64)}` },
      maxAttempts: 1,
    });
    await page.waitForFunction(() => document.querySelector(".figure")?.textContent === "Waiting2");
    assert.deepEqual(complaints, []);

    await page.goto(`${api.url}/ui/repos/me/repo`);
    await reach("Webhooks");
    await reach("Resend");
    await reach("Test");
    assert.match(await page.$eval("main", (main) => main.textContent ?? ""), /will send a test/);

    await page.goto(`${api.url}/ui/schedules`);
    await reach("Run now");
    await reach("Pause all jobs");
    assert.match(await page.$eval("main", (main) => main.textContent ?? ""), /All jobs are paused/);

    // Many at once, with a script for the box that chooses all.
    await page.goto(`${api.url}/ui/jobs?status=pending`);
    await page.click("input[data-all]");
    await Promise.all([page.waitForNavigation(), page.click("button[value=cancel]")]);
    await Promise.all([page.waitForNavigation(), page.click("button[value=cancel]")]);
    assert.match(
      await page.$eval(".note", (note) => note.textContent ?? ""),
      /3 of 3 jobs cancelled/,
    );
  },
});

Deno.test({
  name: "the console pages through 200,000 jobs and 1,000 repos",
  ignore: !hasChromium,
  fn: async () => {
    await using api = await startApi({ worker: false });
    const { db } = api.fixture;
    for (let i = 0; i < 1_000; i++) await createRepo(db, { owner: `o${i % 10}`, slug: `r${i}` });
    await db.sql`
      insert into musehub_background_jobs (job_id, repo_id, job_type, payload, status, created_at,
        finished_at, last_error)
      select 'j' || i, repo_id, 'mpack.index', '{}', case when i % 100 = 0 then 'failed' else 'done' end,
        now() - i * interval '1 second', now() - i * interval '1 second',
        case when i % 100 = 0 then '{"code":"truncated"}'::json end
      from generate_series(1, 200000) as i
      join lateral (select repo_id from musehub_repos where slug = 'r' || i % 1000) as r on true`;
    await using browser = await launch();
    const { page, complaints } = await openPage(browser);
    await signIn(page, api);
    const seen = new Set<string>();
    await page.goto(`${api.url}/ui/jobs?status=failed&code=truncated`);
    for (let i = 0; i < 3; i++) {
      for (
        const href of await page.$$eval(
          "td a[href^='/ui/jobs/']",
          (links) => links.map((a) => a.getAttribute("href")!),
        )
      ) {
        seen.add(href);
      }
      await Promise.all([page.waitForNavigation(), page.click(".pages a:last-child")]);
    }
    assert.equal(seen.size, 150, "three pages of fifty, none twice");
    await page.goto(`${api.url}/ui/repos?prefix=o3/`);
    let repos = 0;
    for (;;) {
      repos += (await page.$$("tbody tr")).length;
      const more = await page.$$("xpath/.//nav[@class='pages']/a[.='More']");
      if (more.length === 0) break;
      await Promise.all([page.waitForNavigation(), more[0].click()]);
    }
    assert.equal(repos, 100);
    assert.deepEqual(complaints, []);
  },
});
