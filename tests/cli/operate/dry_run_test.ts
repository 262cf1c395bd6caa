import assert from "node:assert/strict";
import type { Database } from "../../../src/db/client/database.ts";
import { setQuota } from "../../../src/db/quotas/quotas.ts";
import { addWebhook } from "../../../src/db/webhooks/webhooks.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { putSchedule } from "../../../src/jobs/schedules/schedules.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { startApi } from "../../support/http/api.ts";
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
  await setQuota(db, { kind: "owner", name: "me" }, { packs: 3 });
  await putSchedule(db, { name: "nightly", cron: "0 3 * * *", task: "gc", options: {} });
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const [file, foreign, bad, tokenFile] = ["next", "foreign", "bad", "token"].map((name) =>
    `${folder}/${name}`
  );
  await Deno.writeFile(file, history.pack({ commits: [next] }).bytes);
  await Deno.writeFile(foreign, other);
  await Deno.writeFile(bad, Uint8Array.of(0x81));
  await Deno.writeTextFile(tokenFile, token.text);

  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const of = ["--repo", "me/repo"];
  const all = async () => [await everyRow(db), await everyFile(fixture.folder)];
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
