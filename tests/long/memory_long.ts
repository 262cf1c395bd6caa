import assert from "node:assert/strict";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";
import { parseBytes, parseSize } from "../../scripts/mpack/shape.ts";
import { startMain } from "../support/process/main.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";

/** 1 runs the sizes of the promise (4 GiB, 3 million objects, 2 million ids); CI an eighth. */
const SHARE = Number(Deno.env.get("MPACKD_TEST_SHARE") ?? 1 / 8);
const MB = 1e6;
const MOST_MB = 200;
/** A peak may be so much above that of a 40 MB pack. */
const TOLERANCE = 1.15;

/** Runs `main.ts` on a pack and returns the process's peak resident memory in MB. */
async function peakOf(
  fixture: TestFixture,
  shape: Partial<MpackShape>,
  { command = "index", code: wanted = 0 } = {},
): Promise<number> {
  const path = `${fixture.folder}/memory.mpack`;
  await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
  const env = { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` };
  const child = startMain([command, path, "--repo", "me/repo", "--json"], env);
  let peakKb = 0;
  // The kernel's own high-water mark, as last seen before the process ended.
  const timer = setInterval(() => {
    try {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      peakKb = Math.max(peakKb, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // It has just ended.
    }
  }, 20);
  const { code, stderr } = await child.output();
  clearInterval(timer);
  assert.equal(code, wanted, new TextDecoder().decode(stderr));
  await Deno.remove(path);
  await Deno.remove(`${fixture.folder}/mpacks`, { recursive: true }).catch(() => {});
  return peakKb * 1024 / MB;
}

Deno.test({
  name: "main.ts index takes no more memory for a large pack or object than for a 40 MB pack",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using fixture = await createFixture();
    // Runs differ by some megabytes: the best-known peak of the small pack is the bar.
    const small = Math.max(
      await peakOf(fixture, { objects: 160, size: parseSize("256KiB"), seed: 21 }),
      await peakOf(fixture, { objects: 136_000, size: parseSize("200"), seed: 22 }),
    );
    const huge = await peakOf(fixture, {
      objects: Math.round(8_192 * SHARE),
      size: parseSize("256KiB"),
      hugeBytes: parseBytes("2GiB") * SHARE,
      seed: 23,
    });
    const many = await peakOf(fixture, {
      objects: Math.round(3_000_000 * SHARE),
      size: parseSize("200"),
      seed: 24,
    });
    const figures = `40 MB ${small.toFixed(0)} MB, one huge object ${huge.toFixed(0)} MB, ` +
      `many objects ${many.toFixed(0)} MB`;
    console.log(`Peak RSS: ${figures}`);
    for (const peak of [huge, many]) {
      assert.ok(peak < MOST_MB, figures);
      assert.ok(peak < TOLERANCE * small, figures);
    }
  },
});

Deno.test({
  name: "main.ts guard takes no more memory for many ids than indexing takes",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using fixture = await createFixture();
    const known = Math.round(2_000_000 * SHARE), paths = 50_000;
    const snapshots = Math.ceil(known / paths);
    const shape = { objects: 1, known, snapshots, paths, commits: 1, seed: 25 };
    const peak = await peakOf(fixture, shape, { command: "guard", code: 3 });
    console.log(`Peak RSS of guard with ${known} ids: ${peak.toFixed(0)} MB`);
    assert.ok(peak < MOST_MB, `${peak} MB`);
  },
});
