import assert from "node:assert/strict";
import type { Command } from "commander";
import type { CommandContext } from "../../src/cli/command.ts";
import { EXAMPLES } from "../../src/cli/examples.ts";
import { createProgram } from "../../src/cli/program.ts";
import { runMain } from "../support/process/main.ts";

/** Processes that run until they are stopped, and a script for a shell. */
const WITHOUT_JSON = new Set(["worker", "serve", "completion"]);

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
