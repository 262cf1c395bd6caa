/**
 * The programs of docs/clients.md, as they stand there, against a server process.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MadeHistory } from "../../support/history/make_history.ts";
import { startServer } from "../../support/http/server_process.ts";
import { mpackKey } from "../../support/mpack/mpacks.ts";
import { freePort } from "../../support/process/free_port.ts";
import { runMain } from "../../support/process/main.ts";
import { makeBucket, s3Engine, type TempBucket } from "../../support/store/swift.ts";
import { until } from "../../support/until.ts";

const ROOT = new URL("../../../", import.meta.url);
const CONFIG = new URL("deno.json", ROOT).pathname;
/** Debian's packages need Debian's python3. */
const PYTHON = "/usr/bin/python3";
/** A route that no program asks. */
const QUOTAS = "/api/quotas";
const CONTENT = new TextEncoder().encode("what a client pushes\n");

interface Client {
  readonly language: string;
  readonly file: string;
  /** What must be installed. */
  readonly needs: readonly string[];
  /** Run first: a compiler, and what finds faults without running. Must print nothing. */
  readonly prepare: readonly string[][];
  readonly run: readonly string[];
  /** Whether it is given a pack; a file to commit otherwise. */
  readonly takesPack: boolean;
}

const CLIENTS: readonly Client[] = [{
  language: "bash",
  file: "client.sh",
  needs: ["curl", "jq"],
  prepare: [["bash", "-n", "client.sh"]],
  run: ["bash", "client.sh"],
  takesPack: true,
}, {
  language: "python",
  file: "client.py",
  needs: [PYTHON],
  prepare: [[PYTHON, "-c", "import msgpack, cryptography"]],
  run: [PYTHON, "client.py"],
  takesPack: false,
}, {
  language: "go",
  file: "client.go",
  needs: ["go", "gofmt"],
  prepare: [["gofmt", "-l", "client.go"], ["go", "vet", "client.go"], [
    ..."go build -o client client.go".split(" "),
  ]],
  run: ["./client"],
  takesPack: true,
}, {
  language: "ts",
  file: "client.ts",
  needs: [],
  prepare: [[Deno.execPath(), "check", "--quiet", "--config", CONFIG, "client.ts"]],
  run: [
    ...[Deno.execPath(), "run", "--quiet", "--config", CONFIG],
    ...["--allow-env", "--allow-net", "--allow-read", "client.ts"],
  ],
  takesPack: false,
}];

function storeEnv({ options }: TempBucket): Record<string, string> {
  const { bucket, endpoint, region, accessKeyId, secretAccessKey } = options;
  return {
    MPACK_STORE: `s3://${bucket}?${new URLSearchParams({ endpoint: endpoint!, region })}`,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
}

/** The one block of a document in a language. */
async function blockOf(document: string, language: string): Promise<string> {
  const text = await Deno.readTextFile(new URL(`docs/${document}`, ROOT));
  const blocks = [...text.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g"))];
  assert.equal(blocks.length, 1, `docs/${document} has one block of ${language}`);
  return blocks[0][1];
}

async function isInstalled(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("which", { args: [program], stdout: "null" }).output();
  return success;
}

/** Whether all of them are there. Where .ci/run has set CI it has installed them: then they must be. */
async function hasAll(programs: readonly string[]): Promise<boolean> {
  const found = await Promise.all(programs.map(isInstalled));
  const lacks = programs.filter((_, i) => !found[i]);
  if (lacks.length === 0) return true;
  assert.ok(Deno.env.get("CI") === undefined, `not installed: ${lacks.join(", ")}`);
  console.log(`not run: ${lacks.join(", ")} not installed`);
  return false;
}

Deno.test("the programs of docs/clients.md push, read, wait when told to, and show refusals", async (t) => {
  const port = freePort();
  // Where there is an S3 engine, upload URLs lead to another server than mpackd.
  await using bucket = s3Engine === undefined ? undefined : await makeBucket();
  await using server = await startServer({
    isOpen: false,
    args: ["--worker"],
    // Ten a second come back.
    env: {
      MPACK_HTTP_REQUESTS_PER_MINUTE: "600",
      MPACK_HTTP_PORT: String(port),
      ...(bucket === undefined ? {} : storeEnv(bucket)),
    },
  });
  const { fixture: { databaseUrl, db }, url } = server;
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  await using _folder = {
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
  const admin = async (...args: string[]) => {
    const ended = await runMain(args, { DATABASE_URL: databaseUrl });
    assert.equal(ended.code, 0, ended.stderr);
    return ended.stdout;
  };
  await admin("identity", "create", "ada", "--key", `${folder}/ada.pem`);
  const [token] = /mpk_\S+/.exec(await admin("token", "create", "ada", "--scopes", "read,push"))!;
  const headers = { authorization: `Bearer ${token}` };
  /** How often the server has told somebody but this test to wait. */
  const waits = async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return text.split("\n")
      .filter((line) => /^mpackd_http_requests_total.*"429"/.test(line) && !line.includes(QUOTAS))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  /** Takes one request of ada's limit; returns the status. */
  const useUp = async () => {
    const answer = await fetch(url + QUOTAS, { headers });
    await answer.body?.cancel();
    return answer.status;
  };
  const run = async (line: readonly string[], args: readonly string[] = []) => {
    const [program, ...rest] = [...line, ...args];
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args: rest,
      cwd: folder,
      env: { MPACKD_URL: url, MPACKD_TOKEN: token, NO_COLOR: "1", GO111MODULE: "off" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };

  const history = new MadeHistory(), head = history.commit({ files: { "a.txt": CONTENT } });
  await Deno.writeFile(`${folder}/pack`, new Uint8Array(history.pack().bytes));
  await Deno.writeFile(`${folder}/ghostly`, new Uint8Array(history.pack({ objects: [] }).bytes));
  await Deno.writeFile(`${folder}/a.txt`, CONTENT);
  await Deno.writeTextFile(`${folder}/sign.py`, await blockOf("http.md", "python"));

  for (const { language, file, needs, prepare, run: line, takesPack } of CLIENTS) {
    await t.step(file, async () => {
      if (!await hasAll(needs)) return;
      await Deno.writeTextFile(`${folder}/${file}`, await blockOf("clients.md", language));
      for (const one of prepare) {
        assert.deepEqual(await run(one), { code: 0, stdout: "", stderr: "" });
      }
      const given = takesPack ? "pack" : "a.txt";
      const repo = `ada/${language}`;

      // The limit is used up before, and until the program was told to wait.
      const isUsedUp = async () => await useUp() === 429;
      await until("the limit is used up", isUsedUp, { everyMs: 0 });
      const before = await waits(), over = new AbortController();
      const using = (async () => {
        while (await waits() === before && !over.signal.aborted) await useUp();
      })();
      const first = await run(line, [repo, given]);
      over.abort();
      await using;
      assert.equal(first.code, 0, first.stderr);
      assert(await waits() > before, "it never had to wait");
      const [, commitId] = /^main is at (sha256:[0-9a-f]{64})$/m.exec(first.stdout)!;
      if (takesPack) assert.equal(commitId, head);
      const objectId = mpackKey(CONTENT);
      assert(first.stdout.endsWith(`read ${CONTENT.length} bytes of ${objectId}\n`), first.stdout);
      const refs = await db.sql`select b.name, b.head_commit_id from musehub_branches b
        join musehub_repos r using (repo_id) where r.owner = 'ada' and r.slug = ${language}`;
      assert.deepEqual(refs.map((row) => ({ ...row })), [
        { name: "main", head_commit_id: commitId },
      ]);

      // The repo is there now, and the same pack changes nothing; a file is committed once more.
      const second = await run(line, [repo, given]);
      assert.equal(second.code, 0, second.stderr);
      assert.equal(second.stdout === first.stdout, takesPack, second.stdout);

      const refused = await run(line, [`bob/${language}`, given]);
      assert.deepEqual([refused.code, refused.stdout], [1, ""]);
      assert.equal(
        refused.stderr,
        `403 forbidden: Cannot create a repo of bob: you are not bob\n`,
      );
    });
  }

  await t.step("client.go shows what a pack lacks", async () => {
    if (!await hasAll(["go"])) return;
    const { code, stdout, stderr } = await run(["./client"], ["ada/ghostly", "ghostly"]);
    assert.equal(code, 1);
    assert.equal(stdout, `push these first: [${mpackKey(CONTENT)}]\n`);
    assert.match(stderr, /^409 ghost-objects: /);
  });
});
