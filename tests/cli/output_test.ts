import assert from "node:assert/strict";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { showControls, tellAsRecords } from "../../src/cli/output.ts";
import { counted, LiveLine } from "../../src/cli/terminal.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { runMain, startMain } from "../support/process/main.ts";
import { createFixture } from "../support/process/fixture.ts";
import { sampleBytes } from "../support/store/blobs.ts";

/** A large object does not fit into the buffer of a pipe. */
const CONTENT = sampleBytes(3 * 1024 * 1024), SMALL = sampleBytes(100, 1);

async function openResources() {
  const fixture = await createFixture();
  const key = await fixture.put(
    buildMpack({ objects: [CONTENT, SMALL].map((content) => object({ content })) }),
  );
  await indexMpack(fixture.options(key));
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  return { fixture, key, env };
}

Deno.test("counted() names one thing or many", () => {
  const found = [0, 1, 2_000].map((count) => counted(count, "branch", "branches"));
  assert.deepEqual([...found, counted(1, "tag"), counted(2, "tag")], [
    "0 branches",
    "1 branch",
    "2,000 branches",
    "1 tag",
    "2 tags",
  ]);
});

Deno.test("LiveLine leaves a line every 30 seconds in a log, and none of short work", async () => {
  const lines: string[] = [];
  tellAsRecords((text) => void lines.push(text));
  let ms = 1_000;
  const line = new LiveLine({ isTerminal: false, now: () => ms });
  for (; ms <= 95_000; ms += 500) {
    line.show({ label: "check", bytes: ms * 1_000, sizeBytes: 200_000_000 });
  }
  assert.equal(lines.length, 3);
  assert.match(lines[0], /^check 31\.0 MB of 200\.0 MB 15% {2}1\.0 MB\/s {2}2 m 49 s left$/);
  ms += 60_000;
  line.show({ label: "gc", note: "blobs" });
  assert.equal(lines[3], "gc  blobs");
  await line.during(() => ({ label: "stats" }), () => Promise.resolve());
  assert.equal(lines.length, 4);
});

Deno.test("a command whose output cannot be written ends with 4, and prints no stack", async (t) => {
  const { fixture, key, env } = await openResources();
  await using _ = fixture;
  const repo = ["--repo", "me/repo"];
  const commands: readonly (readonly string[])[] = [
    ["cat", mpackKey(CONTENT), ...repo],
    ["cat", mpackKey(SMALL), ...repo],
    ["cat", mpackKey(SMALL), ...repo, "--json"],
    ["cat", mpackKey(SMALL), "--repo", "me/none", "--json"],
    ["export", "--to", "-", ...repo],
    ["index", key, ...repo],
    ["index", key, ...repo, "--json"],
    ["index", "no-such-file", ...repo, "--json"],
    ["audit"],
    ["audit", "--json"],
    ["gc", "--dry-run", "--json"],
    ["jobs", "list"],
    ["repo", "list"],
    ["identity", "list", "--json"],
    ["token", "list", "--json"],
    ["stats"],
    ["migrate"],
    ["config"],
    ["--help"],
    ["--version"],
    ["index", "--help"],
    ["frobnicate", "--json"],
  ];
  for (const args of commands) {
    await t.step(args.join(" ").replaceAll(/sha256:(.{6}).{58}/g, "$1…"), async () => {
      const through = ["sh", "-c", '"$@" > /dev/full', "sh"];
      const { code, stderr } = await runMain(args, env, { through });
      // If the command fails anyway, that error decides.
      const failsAnyway = args.includes("me/none") || /^(no-|frob)/.test(args[1] ?? args[0]) ||
        args[0] === "frobnicate";
      assert.equal(code, failsAnyway ? 2 : 4, stderr);
      assert.match(stderr, /No space left on device/);
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }
});

Deno.test("a command whose output is closed ends without a stack", async (t) => {
  const { fixture, env } = await openResources();
  await using _ = fixture;
  const repo = ["--repo", "me/repo"];
  for (
    const [code, ...args] of [
      [0, "cat", mpackKey(CONTENT), ...repo],
      [130, "config", "--json"],
      [130, "--help"],
      [2, "cat", mpackKey(CONTENT), "--repo", "me/none", "--json"],
    ] as [number, ...string[]][]
  ) {
    await t.step(args.slice(0, 2).join(" ").slice(0, 20), async () => {
      const child = startMain(args, env);
      await child.stdout.cancel();
      const stderr = await new Response(child.stderr).text();
      assert.equal((await child.status).code, code, stderr);
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }
});

Deno.test("a slow reader gets every byte, also through a pipe that does not block", async (t) => {
  const { fixture, env } = await openResources();
  await using _ = fixture;
  const nonBlocking = "use Fcntl; fcntl(STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK) or die; exec @ARGV";
  for (const through of [[], ["perl", "-e", nonBlocking]]) {
    await t.step(through.length === 0 ? "blocking" : "non-blocking", async () => {
      const args = ["cat", mpackKey(CONTENT), "--repo", "me/repo"];
      const child = startMain(args, env, { through });
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const { code, stdout, stderr } = await child.output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      assert.equal(mpackKey(stdout), mpackKey(CONTENT));
    });
  }
});

Deno.test("showControls() shows what a terminal would obey, and keeps everything else", () => {
  assert.equal(showControls("plain, é, 日本, 🙂\tand\n"), "plain, é, 日本, 🙂\tand\n");
  assert.equal(showControls("\x1b]0;x\x07\r"), "\\u001b]0;x\\u0007\\u000d");
  assert.equal(showControls("\x9b2J\u202egnp"), "\\u009b2J\\u202egnp");
  assert.equal(showControls("\u{e0041}"), "\\udb40\\udc41");
});
