import assert from "node:assert/strict";
import { isGoneWorker, workerName } from "../../src/cli/worker_name.ts";
import { until } from "../support/until.ts";

const MODULE = new URL("../../src/cli/worker_name.ts", import.meta.url).href;
const CHILD = `
  const { workerName } = await import(${JSON.stringify(MODULE)});
  console.log(workerName(Deno.args[0]));
  for await (const _ of Deno.stdin.readable) break;
`;

/** Runs a process that names itself and waits for its input to end. */
async function startNamed(home: string, prefix: readonly string[] = []) {
  const script = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(script, CHILD);
  const [command, ...args] = [...prefix, Deno.execPath(), "run", "-A", "--quiet", script, home];
  const child = new Deno.Command(command, { args, stdin: "piped", stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  return {
    name: value.trim(),
    end: async (signal?: Deno.Signal) => {
      if (signal) child.kill(signal);
      await child.stdin.close().catch(() => {});
      await child.status;
      await reader.cancel();
      await Deno.remove(script);
    },
  };
}

Deno.test("isGoneWorker() is sure of a process, whatever its id", async (t) => {
  const home = await Deno.makeTempDir();
  const isGone = (name: string) => isGoneWorker(name, home);
  await t.step("this process is not gone", () => assert(!isGone(workerName(home))));
  await t.step("a process that was killed is gone, and one that runs is not", async () => {
    const child = await startNamed(home);
    assert(!isGone(child.name));
    await child.end("SIGKILL");
    assert(isGone(child.name));
  });
  await t.step("a process that ended well leaves no file", async () => {
    const child = await startNamed(home);
    await child.end();
    assert(!isGone(child.name));
    assert.equal([...Deno.readDirSync(`${home}/workers`)].length, 2);
  });
  await t.step("names without a file, and names of others, are not gone", () => {
    for (const name of [`${Deno.hostname()}:999999999`, `${Deno.hostname()}:1:0123abcd`, "x", ""]) {
      assert(!isGone(name), name);
    }
  });
  await Deno.remove(home, { recursive: true });
});

Deno.test({
  name: "isGoneWorker() is not misled by a container of the same host name",
  ignore: Deno.uid() !== 0 || Deno.build.os !== "linux",
  fn: async () => {
    const home = await Deno.makeTempDir();
    // Another PID namespace: its process ids mean other processes here, or none.
    const child = await startNamed(home, ["unshare", "--pid", "--fork", "--kill-child"]);
    const [, pid] = /:(\d+):/.exec(child.name)!;
    assert(Number(pid) < 10, child.name);
    assert(!isGoneWorker(child.name, home));
    await child.end("SIGKILL");
    await until("its end is noticed", () => isGoneWorker(child.name, home));
    await Deno.remove(home, { recursive: true });
  },
});
