/**
 * What the README tells other programs to do puts jobs into the queue that workers run.
 *
 * @module
 */

import assert from "node:assert/strict";
import { enqueue } from "../../mod.ts";
import { InvalidMpackError } from "../../src/errors.ts";
import { createRepo } from "../../src/db/repos.ts";
import { runMain } from "../support/process/main.ts";
import { buildMpack, object } from "../support/mpack/mpacks.ts";
import { createFixture } from "../support/process/fixture.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const README = await Deno.readTextFile(`${ROOT}README.md`);
/** The section about the queue. */
const SECTION = README.slice(README.indexOf("**5. "), README.indexOf("## Read on"));

function example(language: "ts" | "sql"): string {
  return new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(SECTION)?.[1] ??
    assert.fail(language);
}

Deno.test("the README's two ways to queue a job work, and a worker runs both", async () => {
  await using fixture = await createFixture();
  const { db, databaseUrl, folder } = fixture;
  const { repo: { repoId } } = await createRepo(db, { owner: "ada", slug: "engine" });
  const keys: string[] = [];
  for (const text of ["by the library", "by SQL"]) {
    const bytes = buildMpack({ objects: [object({ content: new TextEncoder().encode(text) })] });
    const key = await fixture.put(bytes);
    await Deno.mkdir(`${folder}/mpacks/${repoId}`, { recursive: true });
    await Deno.rename(fixture.blobPath(key), `${folder}/mpacks/${repoId}/${key}`);
    keys.push(key);
  }
  const program = example("ts").replace("postgres://…", databaseUrl).replace("sha256:…", keys[0]);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "-"],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(program));
  await input.close();
  const { code, stdout, stderr } = await child.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const [, jobId] = /^queued: (sha256:\w+)\n$/.exec(new TextDecoder().decode(stdout))!;
  const again = await enqueue({ db, repoId, mpackKey: keys[0] });
  assert.deepEqual(again, { jobId, status: "pending", existing: true });
  await db.sql.unsafe(example("sql").replace("sha256:…", keys[1]));

  const env = { DATABASE_URL: databaseUrl, MPACK_STORE: `file://${folder}` };
  const worker = await runMain(["worker", "--drain"], env);
  assert.equal(worker.code, 0, worker.stderr);
  const jobs = await db.sql`select status from musehub_background_jobs`;
  assert.deepEqual(jobs.map(({ status }) => status), ["done", "done"]);
  const packs = await db.sql`select mpack_key from musehub_mpacks where repo_id = ${repoId}`;
  assert.deepEqual(packs.map(({ mpack_key }) => mpack_key).sort(), keys.sort());
});

Deno.test("enqueue() refuses what no worker could run", async () => {
  await using fixture = await createFixture();
  const { db, repo: { repoId } } = fixture;
  const mpackKey = `sha256:${"0".repeat(64)}`;
  await assert.rejects(enqueue({ db, repoId, mpackKey: "abc" }), InvalidMpackError);
  await assert.rejects(enqueue({ db, repoId: "none", mpackKey }), { code: "repo-not-found" });
  const { jobId, existing } = await enqueue({ db, repoId, mpackKey, branch: "main", priority: 3 });
  const [{ payload, priority }] = await db.sql`select payload, priority
    from musehub_background_jobs where job_id = ${jobId}`;
  assert.deepEqual([existing, payload, priority], [
    false,
    { mpack_key: mpackKey, branch: "main" },
    3,
  ]);
});
