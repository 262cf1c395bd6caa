import assert from "node:assert/strict";
import { runMain } from "../support/process/main.ts";

/** What bash completes after these words. */
async function complete(script: string, ...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mpackd; printf '%s\\n' "\${COMPREPLY[@]}"`,
      "bash",
      "mpackd",
      ...words,
    ],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

Deno.test("bash completes commands, subcommands and options", async () => {
  const { code, stdout } = await runMain(["completion", "bash"]);
  assert.equal(code, 0);
  const all = await complete(stdout, "");
  for (const command of ["index", "worker", "doctor", "schedule", "log"]) {
    assert.ok(all.includes(command), command);
  }
  assert.deepEqual(await complete(stdout, "jobs", "ret"), ["retry"]);
  assert.deepEqual(await complete(stdout, "jobs", "retry", "--dr"), ["--dry-run"]);
  // After arguments, the options of a command go on.
  assert.deepEqual(await complete(stdout, "index", "pack.mpack", "--cre"), ["--create"]);
  assert.deepEqual(await complete(stdout, "nothing", "x"), []);
});

Deno.test("the scripts for zsh and fish have every command, and quote what they say", async () => {
  for (const shell of ["zsh", "fish"]) {
    const { code, stdout } = await runMain(["completion", shell]);
    assert.equal(code, 0);
    for (const word of ["doctor", "dry-run", "schedule"]) assert.ok(stdout.includes(word), word);
    // A quote that is not closed would make the whole script one word.
    assert.equal(stdout.replaceAll("'\\''", "").split("'").length % 2, 1, shell);
  }
  assert.equal((await runMain(["completion", "cmd"])).code, 2);
});
