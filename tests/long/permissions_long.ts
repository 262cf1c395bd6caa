import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { encode } from "@msgpack/msgpack";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { grantAccess } from "../../src/db/collaborators.ts";
import { findHandle } from "../../src/db/identities.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createTestDatabase } from "../support/postgres/postgres.ts";
import { startTestServer } from "../support/postgres/test_server.ts";
import { REPLICATING } from "../support/shards/two_servers.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { concat } from "../support/store/blobs.ts";
import { mpackKey } from "../support/mpack/mpacks.ts";

const ROOT = fileURLToPath(import.meta.resolve("../../"));
const COMMON = ["--allow-env", "--allow-read=src"];
const AT_ONCE = 4;

/** A row of the table in docs/operations.md. */
interface Row {
  readonly command: string;
  readonly store: string;
  readonly flags: readonly string[];
}

async function documentedRows(): Promise<Row[]> {
  const document = await Deno.readTextFile(`${ROOT}docs/operations.md`);
  const [, table] = /<!-- permissions:[^\n]*\n([^]*)<!-- \/permissions -->/.exec(document)!;
  return table.trim().split("\n").slice(2).flatMap((line) => {
    const [commands, store, flags] = line.split("|").slice(1).map((cell) => cell.trim());
    return [...commands.matchAll(/`([^`]+)`/g)].map(([, command]) => ({
      command,
      store,
      flags: flags.replaceAll("`", "").split(" ").filter(Boolean),
    }));
  });
}

/** What a command is run with, by its name in the table. */
interface Situation extends AsyncDisposable {
  readonly fixture: TestFixture;
  readonly env: Record<string, string>;
  /** The words that stand for something in the table. */
  readonly words: Readonly<Record<string, string>>;
  readonly args: Readonly<Record<string, readonly string[]>>;
  /** The same for what is done once: it is run with too few permissions afterwards. */
  readonly others: Readonly<Record<string, readonly string[]>>;
}

/** Long enough for the hashing thread to be started. */
const PACK = new Uint8Array(concat(
  await Array.fromAsync(makeMpack({ objects: 40, size: parseSize("256KiB"), seed: 5 })),
));

async function prepare(): Promise<Situation> {
  // Servers that can replicate, for the move of a shard.
  const [first, second] = await Promise.all(
    ["logical-1", "logical-2"].map((name) => startTestServer({ name, settings: REPLICATING })),
  );
  const fixture = await createFixture({ server: first.url }), { db, repo } = fixture;
  const target = await createTestDatabase("target", second.url);
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const file = `${folder}/pack`, key = mpackKey(PACK), place = `${folder}/out`;
  const newFile = `${folder}/bundle`;
  await Deno.writeFile(file, PACK);
  const env: Record<string, string> = {
    DATABASE_URL: fixture.databaseUrl,
    MPACK_STORE: `file://${fixture.folder}`,
  };
  const setUp = await run(["-A"], ["index", file, "--repo", "me/repo", "--json"], env);
  assert.equal(setUp.code, 0, setUp.text);
  const [{ object_id: objectId }] = await db.sql`select object_id from musehub_object_refs limit 1`;
  const history = new MadeHistory(), commit = history.commit({ files: { a: "a" } });
  await indexHistory(fixture, history.pack());
  // Answers as a server that has indexed the pack.
  const { repoId } = repo;
  const answer = { repo_id: repoId, mpack_key: key, objects_total: 40, object_refs_written: 0 };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/api/jobs") return Response.json({ jobs: [], next: null });
      if (pathname === "/me/full/refs") {
        return new Response(encode({ branch_heads: { main: commit } }));
      }
      if (pathname === "/me/full/fetch") return new Response(PACK);
      if (request.url.endsWith("/refs")) return new Response(encode({ branch_heads: {} }));
      await request.arrayBuffer();
      return Response.json({ ...JSON.parse(setUp.output), ...answer });
    },
  );
  const remote = `http://127.0.0.1:${server.addr.port}`, of = ["--repo", "me/repo"];
  const pushKey = `${folder}/key`, newKey = `${folder}/newKey`;
  const made = await run(["-A"], ["identity", "create", "pusher", "--key", pushKey], env);
  assert.equal(made.code, 0, made.text);
  await grantAccess(db, { repoId, identityId: (await findHandle(db, "pusher"))!.identityId });
  const token = await run(["-A"], ["token", "create", "pusher", "--scopes", "push"], env);
  const shards = [
    ["shard", "add", "s2"],
    ["shard", "drain", "s2"],
    ["shard", "add", "s3"],
    ["repo", "create", "me/moved", "--shard", "s3"],
  ];
  for (const args of shards) {
    const { code, text } = await run(["-A"], args, env);
    assert.equal(code, 0, text);
  }
  return {
    fixture,
    env: { ...env, XDG_CONFIG_HOME: folder, TOKEN: token.output.trim() },
    words: {
      DB: new URL(fixture.databaseUrl).host,
      FILE: file,
      PLACE: place,
      CONFIG: `${folder}/mpackd`,
      KEY: pushKey,
      NEWKEY: newKey,
      FOLDER: folder,
      SERVER: new URL(remote).host,
      TARGET: new URL(target.url).host,
    },
    args: {
      "config": ["config"],
      "completion SHELL": ["completion", "bash"],
      "schedule list": ["schedule", "list"],
      "webhook list": ["webhook", "list", ...of],
      "quota list": ["quota", "list"],
      "shard list": ["shard", "list"],
      "shard add NAME": ["shard", "add", "s1"],
      "shard edit": ["shard", "edit", "s1", "--no-replica"],
      "shard drain NAME": ["shard", "drain", "s1"],
      "shard remove NAME": ["shard", "remove", "s2"],
      "shard move --repo REPO --to SHARD": [
        ...["shard", "move", "--repo", "me/moved", "--to", "catalog", "--grace", "1ms"],
      ],
      "shard move NAME --to URL": [
        ...["shard", "move", "s1", "--to", `${target.url}?search_path=s1`],
      ],
      "inspect FILE": ["inspect", file],
      "clone URL FOLDER/NEW": ["clone", `${remote}/me/repo`, `${folder}/new`],
      "push FILE": ["push", file, "--remote", remote, ...of, "--key", pushKey],
      "login URL --key KEY": ["login", remote, "--key", pushKey],
      "fetch URL --to FOLDER/FILE": ["fetch", `${remote}/me/full`, "--to", newFile],
      "remote list": ["remote", "list"],
      "remote add NAME URL": ["remote", "add", "origin", `${remote}/me/repo`],
      "migrate": ["migrate"],
      "repo list": ["repo", "list"],
      "token list": ["token", "list"],
      "identity list": ["identity", "list"],
      "jobs list": ["jobs", "list"],
      "stats": ["stats"],
      "audit --enqueue": ["audit", "--enqueue", ...of],
      "identity create NAME --key NEWKEY": ["identity", "create", "new", "--key", newKey],
      "check FILE": ["check", file],
      "check FILE --missing": ["check", file, "--missing", ...of],
      "version": ["version"],
      "status": ["status"],
      "refs": ["refs", ...of],
      "log": ["log", ...of],
      "ls": ["ls", ...of],
      "packs": ["packs", ...of],
      "show": ["show", commit, ...of],
      "ls-tree": ["ls-tree", commit, ...of],
      "cat": ["cat", objectId, ...of],
      "audit": ["audit"],
      "gc --dry-run": ["gc", "--dry-run"],
      "store show": ["store", "show"],
      "bundle --to FOLDER/FILE": ["bundle", ...of, "--to", newFile],
      "export --to PLACE": ["export", ...of, "--to", place],
      "enqueue KEY": ["enqueue", key, ...of],
      "gc": ["gc"],
      "repack": ["repack", ...of],
      "store adopt": ["store", "adopt"],
      "doctor": ["doctor"],
      "enqueue FILE": ["enqueue", file, ...of],
      "index FILE": ["index", file, ...of],
      "worker": ["worker", "--drain"],
      "serve": ["serve", "--port", "0"],
    },
    others: {
      "shard move NAME --to URL": [
        ...["shard", "move", "s3", "--to", `${target.url}?search_path=s3`],
      ],
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await fixture[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
      for (const each of [first, second]) await each[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function run(
  flags: readonly string[],
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; text: string; output: string }> {
  const kept = ["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--no-prompt", ...flags, "main.ts", ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { ...Object.fromEntries(kept), NO_COLOR: "1", MPACK_HOME: "/nonexistent", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  const reading = (async () => {
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
      text += part;
      const [, url] = /Listening on (http:\/\/[^\s;"]+)/.exec(part) ?? [];
      if (url === undefined) continue;
      // A server: it is well if it takes a push, and ends on SIGTERM.
      const headers = { "x-mpack-key": mpackKey(PACK), authorization: `Bearer ${env.TOKEN}` };
      const init = { method: "POST", headers, body: PACK };
      const response = await fetch(`${url}/me/repo/push/stream`, init);
      const answer = await response.text();
      child.kill("SIGTERM");
      assert.equal(response.status, 200, answer);
    }
  })();
  const output = await new Response(child.stdout).text();
  await reading;
  return { code: (await child.status).code, text, output };
}

/** The flags of a row, one for each value of a list, with the words replaced. */
function flagsOf({ store, flags }: Row, { fixture, words }: Situation): string[] {
  const { folder } = fixture;
  const ofStore: Record<string, string[]> = {
    "": [],
    reads: [`--allow-read=${folder}`],
    writes: [`--allow-read=${folder}`, `--allow-write=${folder}`],
  };
  const ofRow = flags.flatMap((flag) => {
    const [name, values] = flag.split("=");
    return values.split(",").map((value) => `${name}=${words[value] ?? value}`);
  });
  return [...COMMON, ...ofRow, ...ofStore[store]];
}

Deno.test("each command needs exactly the permissions that are documented", async (t) => {
  await using situation = await prepare();
  const { env, args, others } = situation, rows = await documentedRows();
  await t.step("every command is documented", async () => {
    const top = `${ROOT}src/cli/commands`,
      folders = [
        top,
        ...["history", "lists", "operate", "remote"].map((folder) => `${top}/${folder}`),
      ];
    const files = (await Promise.all(folders.map((path) => Array.fromAsync(Deno.readDir(path)))))
      .flat().filter(({ isFile }) => isFile);
    const names = files.map(({ name }) => name.replace(".ts", "").replace("_", "-"));
    // A folder of its own, because it has six.
    names.push("shard");
    const documented = new Set(rows.map(({ command }) => command.split(" ")[0]));
    assert.deepEqual([...documented].sort(), names.sort());
  });
  for (const row of rows) {
    await t.step(row.command, async () => {
      const flags = flagsOf(row, situation);
      const { code, text } = await run(flags, args[row.command], env);
      assert.equal(code, 0, text);
    });
  }
  for (let at = 0; at < rows.length; at += AT_ONCE) {
    await Promise.all(
      rows.slice(at, at + AT_ONCE).map((row) =>
        t.step({
          name: `${row.command}, without each of them`,
          sanitizeOps: false,
          sanitizeResources: false,
          sanitizeExit: false,
          async fn() {
            const flags = flagsOf(row, situation);
            for (const missing of flags) {
              // The environment goes without a permission where nothing reads it; a host covers its ports.
              const [host, port] = missing.split(/:(?=\d+$)/);
              if (missing === "--allow-env" || port && flags.includes(host)) continue;
              const less = flags.filter((flag) => flag !== missing);
              const command = others[row.command] ?? args[row.command];
              const { code, text, output } = await run(less, command, env);
              assert.notEqual(code, 0, `${missing} is not needed`);
              assert.match(text + output, /--allow-\w+|[Pp]ermission|access/, missing);
            }
          },
        })
      ),
    );
  }
});
