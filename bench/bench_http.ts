/**
 * `deno task bench:http`: objects read and uploads presigned over HTTP, by wrk on loopback, beside a
 * server that only says hello.
 *
 * All are measured in one run, in turns, so that a busy machine slows them alike; what counts are the
 * ratios. A read or a presign also sends two or three statements: the identity, the repo, the location.
 *
 * @module
 */

import { Command } from "commander";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { openEmbedded } from "../src/db/embedded/open_embedded.ts";
import { parseSize } from "../scripts/mpack/shape.ts";
import { makeMpack } from "../scripts/make_mpack.ts";
import { keyOfPack } from "../tests/support/mpack/pack_key.ts";

const { seconds, rounds, connections, profile, json } = new Command("bench_http")
  .option("--seconds <n>", "how long each measurement takes", Number, 5)
  .option("--rounds <n>", "measurements of each kind; the median counts", Number, 3)
  .option("--connections <n>", "connections that wrk keeps busy", Number, 16)
  .option("--profile <folder>", "have the server write a CPU profile there when it ends")
  .option("--json", "print the figures as one JSON document", false)
  .parse(Deno.args, { from: "user" })
  .opts<
    { seconds: number; rounds: number; connections: number; profile?: string; json: boolean }
  >();

const MAIN = fileURLToPath(import.meta.resolve("../main.ts"));
const OBJECTS = 2_000;
const HELLO = `Deno.serve({ hostname: "127.0.0.1", port: 0,
  onListen: ({ port }) => console.error("Listening on http://127.0.0.1:" + port) },
  () => new Response("hello"));`;

await using resources = new AsyncDisposableStack();
const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
await Deno.chmod(folder, 0o755);
resources.defer(() => Deno.remove(folder, { recursive: true }));
const database = await openEmbedded({ dataDir: `${folder}/pg` });
resources.defer(() => database.close());
const env = {
  DATABASE_URL: database.url,
  MPACK_STORE: `file://${folder}/blobs`,
  MPACK_HTTP_REQUESTS_PER_MINUTE: "100000000",
};

/** Runs `main.ts` to its end and returns what it printed. */
async function main(...args: string[]): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", MAIN, ...args],
    env,
    stderr: "inherit",
  });
  const { code, stdout } = await command.output();
  if (code !== 0) throw new Error(`main.ts ${args[0]} ended with ${code}`);
  return new TextDecoder().decode(stdout).trim();
}

/** Starts a server and waits for the line that says where. */
async function serve(args: string[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), { args, env, stdout: "null", stderr: "piped" })
    .spawn();
  resources.defer(async () => {
    child.kill("SIGTERM");
    await child.status;
  });
  const [texts, rest] = child.stderr.tee();
  rest.pipeTo(new WritableStream()).catch(() => {});
  let seen = "";
  for await (const text of texts.pipeThrough(new TextDecoderStream())) {
    const [, url] = /Listening on (http:\/\/[\d.:]+)/.exec(seen += text) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`Cannot start a server: ${seen}`);
}

/** Requests a second, and the latency that 99 of 100 stay below, in milliseconds. */
async function wrk(url: string, script: string): Promise<{ perSecond: number; p99Ms: number }> {
  const path = `${folder}/wrk.lua`;
  await Deno.writeTextFile(path, `${script}\n${REPORT}`);
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", path, url];
  const { code, stdout, stderr } = await new Deno.Command("wrk", { args }).output();
  const text = new TextDecoder().decode(stdout);
  const [, count, microseconds, p99, refused] = /^FIGURES (\d+) (\d+) (\d+) (\d+)$/m.exec(text) ??
    [];
  if (code !== 0 || count === undefined) throw new Error(new TextDecoder().decode(stderr) + text);
  if (refused !== "0") throw new Error(`${refused} of ${count} answers are no success`);
  return { perSecond: Number(count) / Number(microseconds) * 1e6, p99Ms: Number(p99) / 1000 };
}

const REPORT = `function done(summary, latency)
  print(string.format("FIGURES %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(99), summary.errors.status))
end`;

await main("migrate");
await main("identity", "create", "ada", "--key", `${folder}/ada.pem`);
const token = await main("token", "create", "ada");
const shape = { objects: OBJECTS, size: parseSize("4096"), seed: 51 };
await Deno.writeFile(`${folder}/pack`, ReadableStream.from(makeMpack(shape)));
await main("repo", "create", "ada/engine");
await main("index", `${folder}/pack`, "--repo", "ada/engine");
await main("export", "--repo", "ada/engine", "--to", `${folder}/objects`);
const ids = (await Array.fromAsync(Deno.readDir(`${folder}/objects`))).map(({ name }) => name);
const hello = await serve(["eval", HELLO]);
const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
const api = await serve(["run", "-A", "--quiet", ...profiling, MAIN, "serve", "--port", "0"]);

const key = await keyOfPack(makeMpack({ ...shape, seed: 52 }));
const authorized = `wrk.headers["Authorization"] = "Bearer ${token}"`;
const CONTENDERS = {
  "hello": () => wrk(hello, ""),
  "GET /healthz": () => wrk(`${api}/healthz`, ""),
  "GET an object of 4 KiB": () =>
    wrk(
      api,
      `${authorized}
ids = { ${ids.map((id) => JSON.stringify(id)).join(", ")} }
function request()
  return wrk.format(nil, "/ada/engine/objects/" .. ids[math.random(#ids)])
end`,
    ),
  "POST mpack-presign": () =>
    wrk(
      `${api}/ada/engine/push/mpack-presign`,
      `${authorized}
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"mpack_key":"${key}","size_bytes":5}'`,
    ),
};

const figures = new Map<string, { perSecond: number; p99Ms: number }[]>();
for (let round = 0; round <= rounds; round++) {
  for (const [name, measure] of Object.entries(CONTENDERS)) {
    const figure = await measure();
    // The first round warms up what is compiled while it runs.
    if (round > 0) figures.set(name, [...figures.get(name) ?? [], figure]);
  }
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];
const baseline = median(figures.get("hello")!.map(({ perSecond }) => perSecond));
const rows = [...figures].map(([name, all]) => {
  const perSecond = median(all.map((figure) => figure.perSecond));
  return {
    request: name,
    "per second": Math.round(perSecond),
    "p99 ms": Number(median(all.map(({ p99Ms }) => p99Ms)).toFixed(1)),
    "times hello's": Number((baseline / perSecond).toFixed(1)),
  };
});
if (json) console.log(JSON.stringify({ rows, load: loadavg(), deno: Deno.version.deno }));
else {
  console.table(rows);
  console.log(`Deno ${Deno.version.deno}, load average ${loadavg()[0].toFixed(1)}`);
}
