import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { setQuota } from "../../../src/db/quotas/quotas.ts";
import { createRepo } from "../../../src/db/repos.ts";
import { testWebhook } from "../../../src/db/webhooks/deliveries.ts";
import { addWebhook } from "../../../src/db/webhooks/webhooks.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { pause } from "../../../src/jobs/schedules/pauses.ts";
import { putSchedule } from "../../../src/jobs/schedules/schedules.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { startApi } from "../../support/http/api.ts";
import { addShard } from "../../support/shards/catalog_with.ts";
import { runMain } from "../../support/process/main.ts";

Deno.test("--dry-run says what would happen, and changes neither database nor store", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, repo: { repoId }, ...fixture } = api.fixture, history = new MadeHistory();
  const root = history.commit({ files: { "a.txt": "a" } });
  const next = history.commit({ parents: [root], files: { "a.txt": "a", "b.txt": "b" } });
  const apart = history.commit({ parents: [], files: { "c.txt": "c" } });
  const payload = { branch: "main" };
  const first = history.pack({ commits: [root] }).bytes, key = await fixture.put(first);
  await indexMpack({ ...fixture.options(key), payload });
  const other = history.pack({ commits: [apart] }).bytes;
  await indexMpack(fixture.options(await fixture.put(other)));
  const changed = first.slice();
  changed[changed.length - 1] ^= 1;
  await Deno.writeFile(fixture.blobPath(key), changed);

  const me = await api.identity("me"), token = await api.token(me);
  const [, tokenId] = token.text.split("_");
  const hook = { repoId, url: "https://hooks.test/", host: "hooks.test", events: ["branch.moved"] };
  const { webhookId } = await addWebhook(db, hook);
  const deliveryId = (await testWebhook(db, repoId, webhookId))!;
  await setQuota(db, { kind: "owner", name: "me" }, { packs: 3 });
  await putSchedule(db, { name: "nightly", cron: "0 3 * * *", task: "gc", options: {} });
  await (await addShard({ db, url: fixture.databaseUrl }, "s1")).close();
  const { row: { jobId } } = await enqueue(db, { repoId, jobType: "mpack.index", payload: {} });
  await pause(db, { kind: "type", value: "mpack.audit" });
  await createRepo(db, { owner: "other", slug: "repo" });
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const [file, foreign, bad, tokenFile] = ["next", "foreign", "bad", "token"].map((name) =>
    `${folder}/${name}`
  );
  await Deno.writeFile(file, history.pack({ commits: [next] }).bytes);
  await Deno.writeFile(foreign, other);
  await Deno.writeFile(bad, Uint8Array.of(0x81));
  await Deno.writeTextFile(tokenFile, token.text);

  const env = {
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `file://${fixture.folder}`,
    XDG_CONFIG_HOME: `${folder}/config`,
  };
  const of = ["--repo", "me/repo"];
  const saved = await runMain(["remote", "add", "origin", `${api.url}/me/repo`], env);
  assert.equal(saved.code, 0, saved.stderr);
  const loggedIn = ["login", api.url, "--token-file", tokenFile];
  assert.equal((await runMain(loggedIn, env)).code, 0);
  const all = async () => [
    await everyRow(db),
    await everyFile(fixture.folder),
    await everyFile(folder),
  ];
  const before = await all();
  const run = async (code: number, said: RegExp, ...args: string[]) => {
    await t.step(args.filter((arg) => !arg.startsWith("/")).join(" "), async () => {
      const ended = await runMain([...args, "--dry-run"], env);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stdout + ended.stderr, said);
    });
  };
  try {
    await run(
      0,
      new RegExp(
        `^Would index sha256:[^]*2 objects?, 1 new to the repo\\n[^]*` +
          `store +the bytes would be written\\n +branch +main would move to ${next}\\n$`,
      ),
      ...["index", file, ...of, "--branch", "main"],
    );
    await run(
      0,
      /the repo has it already\n[^]*are there already\n.*main would stay: .*not an ancestor/,
      ...["index", foreign, ...of, "--branch", "main"],
    );
    await run(
      0,
      /repo +new\/repo would be created/,
      ...["enqueue", file, "--repo", "new/repo", "--create"],
    );
    await run(3, /\(truncated\)/, "index", bad, ...of);
    await run(
      0,
      new RegExp(
        `^Would push sha256:.*1 commit, .*nothing was sent\\nBranch main is at ${root}: it would`,
      ),
      ...["push", file, "--remote", api.url, ...of, "--branch", "main", "--token-file", tokenFile],
    );
    await run(
      3,
      /blob-replaced[^]*1 damaged[^]*1 ref would be marked[^]*Nothing was changed/,
      "audit",
      ...of,
    );
    await run(0, /^Would pack 2 mpacks of .* into 1; nothing was changed\n$/, "repack", ...of);
    await run(0, /^Nothing to pack: /, "repack", ...of, "--pack-bytes", "1");
    await run(0, /^Would remove: nightly +gc /, "schedule", "remove", "nightly");
    await run(2, /there is none of that name/, "schedule", "remove", "none");
    await run(
      0,
      /^Would remove, with its deliveries: wh_.*hooks\.test/,
      ...["webhook", "remove", webhookId, ...of],
    );
    await run(0, /^Would remove the quota of .*me/, "quota", "remove", "me");
    await run(0, /^Would revoke .*me {2}read,push/, "token", "revoke", tokenId);
    await run(
      0,
      /^Would revoke me {2}.*, and 1 valid token of it\n$/,
      ...["identity", "revoke", "me"],
    );
    await run(0, new RegExp(`^Would cancel job ${jobId}: it is pending`), "jobs", "cancel", jobId);
    await run(2, /it is pending, neither failed/, "jobs", "retry", jobId);
    await run(0, /^Would be purged: 0\n$/, "jobs", "purge", "--older-than", "1d");
    await run(0, /^Would pause: me\/repo\n$/, "jobs", "pause", ...of);
    await run(
      0,
      /^Nothing to pause: there is a pause of /,
      "jobs",
      "pause",
      "--type",
      "mpack.audit",
    );
    await run(0, /^Would resume: mpack.audit/, "jobs", "resume", "--type", "mpack.audit");
    await run(0, /^Nothing to resume: there is no pause of all jobs/, "jobs", "resume");
    const cron = ["--task", "gc", "--cron", "0 3 * * *"];
    await run(0, /^Would add: weekly, to run gc next at /, "schedule", "add", "weekly", ...cron);
    await run(0, /^Would change: nightly, /, "schedule", "add", "nightly", ...cron);
    await run(0, /^Would pause: nightly +gc /, "schedule", "pause", "nightly");
    await run(0, /^Would resume: nightly +gc /, "schedule", "resume", "nightly");
    await run(0, /^Would run: nightly +gc /, "schedule", "run", "nightly");
    await run(
      0,
      /^Would set for me: bytes 1\.07 GB, objects unlimited\n {2}now: me {2}.*of 3\n$/,
      ...["quota", "set", "me", "--bytes", "1GiB", "--objects", "unlimited"],
    );
    await run(
      0,
      /^Would set for other\/repo: packs 7\n {2}now: nothing is limited or counted\n$/,
      ...["quota", "set", "other/repo", "--packs", "7"],
    );
    await run(0, /^Would give a new secret to: wh_/, "webhook", "rotate", webhookId, ...of);
    await run(0, /^Would send a webhook\.test to: wh_/, "webhook", "test", webhookId, ...of);
    await run(0, /^Would send .* once more: webhook\.test, which is pending, to wh_/, ...[
      ...["webhook", "resend", deliveryId],
      ...of,
    ]);
    await run(2, /the repo has none of that id/, "webhook", "rotate", "wh_none", ...of);
    await run(0, /^Would add: https:\/\/b\.test\/ {2}pack\.published/, ...[
      ...["webhook", "add", "https://b.test/"],
      ...of,
    ]);
    await run(0, /^Would create new, with a new key in \//, ...[
      ...["identity", "create", "new", "--key"],
      `${folder}/newKey`,
    ]);
    await run(2, /the handle me is in use/, "identity", "create", "me", "--key", `${folder}/k`);
    await run(0, /^Would let me push to other\/repo\n$/, ...[
      ...["identity", "grant", "me", "--repo", "other/repo"],
    ]);
    await run(0, /^Would create a token of me for read, valid for 12h\n$/, ...[
      ...["token", "create", "me", "--scopes", "read", "--expires", "12h"],
    ]);
    await run(0, /^Would create new\/repo {2}private, in s1\n$/, ...[
      ...["repo", "create", "new/repo", "--shard", "s1"],
    ]);
    await run(2, /it exists and is private/, ...[
      ...["repo", "create", "me/repo", "--visibility", "public"],
    ]);
    await run(0, /^Would change: me\/repo .*\n {2}visibility: private → public\n$/, ...[
      ...["repo", "edit", "me/repo", "--visibility", "public"],
    ]);
    await run(0, /^Would delete me\/repo /, "repo", "delete", "me/repo");
    await run(0, /^Shard s1 would get no new repos\n$/, "shard", "drain", "s1");
    await run(0, /^Shard s1 would have no standby\n$/, "shard", "edit", "s1", "--no-replica");
    await run(2, /Cannot find shard none/, "shard", "edit", "none", "--no-replica");
    await run(0, /^other\/repo can be moved from catalog to s1\n$/, ...[
      ...["shard", "move", "--repo", "other/repo", "--to", "s1"],
    ]);
    await run(2, /Cannot find shard typo/, ...[
      ...["shard", "move", "--repo", "other/repo", "--to", "typo"],
    ]);
    await run(2, /it is open; run "mpackd shard drain s1" first/, "shard", "remove", "s1");
    await run(0, /^origin would be .*\/me\/other, not /, ...[
      ...["remote", "add", "origin"],
      `${api.url}/me/other`,
    ]);
    await run(0, /^Would remove: origin, which is /, "remote", "remove", "origin");
    await run(0, /^Would log in to .* by token: it accepts that\n$/, ...loggedIn);
    await run(0, /^Would log out of /, "logout", api.url);
    await run(0, /^Would collect/, "gc", "--shard", "catalog");
    await run(0, /^Would adopt: .*no owner yet/, "store", "adopt");
    await run(0, /^The tables are up to date/, "migrate");
    assert.deepEqual(await all(), before);
    const { code, stdout } = await runMain(["index", file, ...of, "--branch", "main"], env);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`1 new, [^]*main moved to ${next}`), "as it was said");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** All rows of all tables. What a session of the server notes about its callers is left out. */
async function everyRow({ sql }: Database): Promise<string[]> {
  const tables = await sql`select tablename from pg_tables where schemaname = 'public'
    and tablename not in ('mpackd_signatures', 'mpackd_workers') order by tablename`;
  const rows: string[] = [];
  for (const { tablename } of tables) {
    const [{ all }] = await sql`select string_agg(t::text, E'\n' order by t::text) as all
      from ${sql(tablename)} t`;
    rows.push(`${tablename}: ${all}`);
  }
  return rows;
}

async function everyFile(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) files.push(...await everyFile(path));
    else {
      const { size, mtime } = await Deno.stat(path);
      files.push(`${path} ${size} ${mtime?.getTime()}`);
    }
  }
  return files.sort();
}
