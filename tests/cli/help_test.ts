import assert from "node:assert/strict";
import type { Command } from "commander";
import type { CommandContext } from "../../src/cli/command.ts";
import { EXAMPLES } from "../../src/cli/examples.ts";
import { createProgram } from "../../src/cli/program.ts";
import { runMain } from "../support/process/main.ts";

/** Processes that run until they are stopped, and a script for a shell. */
const WITHOUT_JSON = new Set(["worker", "serve", "completion"]);

/** Commands that write nothing, but for the files and folders that they are asked for. */
const ONLY_READ = new Set([
  ...["inspect", "check", "guard", "ls", "packs", "cat", "refs", "log", "show", "ls-tree"],
  ...["export", "bundle", "clone", "fetch", "status", "stats", "config", "completion", "version"],
  ...["jobs list", "jobs show", "jobs watch", "schedule list", "store show", "shard list"],
  ...["remote list", "identity list", "token list", "repo list", "repo show", "quota list"],
  ...["webhook list", "webhook deliveries"],
]);
/** They run until they are stopped; doctor has --no-writes. */
const NO_DRY_RUN = new Set(["worker", "serve", "doctor"]);

function* leavesOf(command: Command, path = ""): Generator<readonly [string, Command]> {
  if (command.commands.length === 0) return yield [path, command];
  for (const child of command.commands) yield* leavesOf(child, `${path} ${child.name()}`.trim());
}

Deno.test("every command has a summary, an example that it takes, and --json", async () => {
  const ran: string[] = [];
  const context: CommandContext = {
    config: () => assert.fail("an example is only parsed"),
    run: () => Promise.resolve(void ran.push("")),
  };
  const program = await createProgram(context), leaves = [...leavesOf(program)];
  for (const [path, command] of leaves) {
    const example = EXAMPLES[path];
    assert.ok(example, `src/cli/examples.ts has none of "${path}"`);
    assert.ok(command.summary() || command.description(), path);
    if (!WITHOUT_JSON.has(path)) {
      assert.ok(command.options.some(({ long }) => long === "--json"), `${path}: no --json`);
    }
    const words = [...example.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) =>
      quoted ?? word
    );
    const end = words.indexOf(">");
    assert.ok(example.startsWith(path), path);
    const fresh = await createProgram(context);
    for (const [, leaf] of leavesOf(fresh)) leaf.exitOverride();
    const before = ran.length;
    await fresh.parseAsync(end < 0 ? words : words.slice(0, end), { from: "user" });
    assert.equal(ran.length, before + 1, example);
  }
  const paths = new Set(leaves.map(([path]) => path));
  assert.deepEqual(Object.keys(EXAMPLES).filter((path) => !paths.has(path)), []);
});

Deno.test("every command that writes has --dry-run, and a test of it", async () => {
  const context: CommandContext = {
    config: () => assert.fail("nothing is run"),
    run: () => Promise.resolve(),
  };
  const leaves = [...leavesOf(await createProgram(context))];
  const tests = await Promise.all(
    ["operate/dry_run_test.ts", "operate/shard_test.ts", "remote/remotes_test.ts"].map((file) =>
      Deno.readTextFile(new URL(file, import.meta.url))
    ).concat(Deno.readTextFile(new URL("lists/several_test.ts", import.meta.url))),
  );
  const tried = tests.join("\n").replaceAll(/[\s,"[\]]+/g, " ");
  const without: string[] = [], untried: string[] = [];
  for (const [path, command] of leaves) {
    if (ONLY_READ.has(path) || NO_DRY_RUN.has(path)) continue;
    if (!command.options.some(({ long }) => long === "--dry-run")) without.push(path);
    else if (!tried.includes(` ${path} `)) untried.push(path);
  }
  assert.deepEqual({ without, untried }, { without: [], untried: [] });
  const paths = new Set(leaves.map(([path]) => path));
  const gone = [...ONLY_READ, ...NO_DRY_RUN].filter((path) => !paths.has(path));
  assert.deepEqual(gone, [], "what is no command any more");
});

Deno.test("help shows the example, and a typo is answered with what was meant", async () => {
  const { code, stdout } = await runMain(["jobs", "retry", "--help"]);
  assert.equal(code, 0);
  assert.match(stdout, /^Example: mpackd jobs retry --failed/m);
  for (
    const [args, meant] of [
      [["idnex", "x"], "index"],
      [["jobs", "lits"], "list"],
      [["index", "x", "--rep", "a/b"], "--repo"],
      [["verfy"], "verify"],
    ] as const
  ) {
    const { code, stderr } = await runMain(args);
    assert.deepEqual([code, stderr.includes(`Did you mean ${meant}?`)], [2, true], stderr);
  }
});

Deno.test("version, verify and check --missing are commands", async () => {
  const version = JSON.parse((await runMain(["version", "--json"])).stdout);
  assert.equal(version.deno, Deno.version.deno);
  assert.match((await runMain(["verify", "--help"])).stdout, /^Usage: mpackd audit\|verify /m);
  assert.doesNotMatch((await runMain(["--help"])).stdout, /^ +guard /m);
});
