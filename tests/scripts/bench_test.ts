import assert from "node:assert/strict";
import { svgChart } from "../../bench/index/chart.ts";
import { startLoopbackS3 } from "../../bench/index/loopback_s3.ts";
import { median } from "../../bench/index/measure.ts";
import { passes, type Row, table } from "../../bench/index/row.ts";

const ROW: Row = { what: "jobs & packs", ours: "2", against: "git: 10 MB/s", value: 0.8 };
const MISS: Row = { ...ROW, aim: { atLeast: 0.95 } };
const PASS: Row = { ...ROW, what: "memory", aim: { atMost: 1.15 } };

Deno.test("a row passes by its aim, whichever way that points, and is only told without one", () => {
  assert.deepEqual([ROW, MISS, PASS].map(passes), [undefined, false, true]);
  const lines = table([ROW, MISS, PASS]).split("\n");
  assert.equal(lines.length, 5);
  assert.match(lines[3], /\| 0\.80 \| ≥ 0\.95 \| miss \|$/);
  assert.match(lines[4], /\| 0\.80 \| ≤ 1\.15 \| pass \|$/);
});

Deno.test("svgChart() has a bar for each row with an aim, and escapes what rows say", () => {
  const svg = svgChart([ROW, MISS, PASS], "2 cores <idle>");
  assert.equal(svg.match(/<rect class="miss"/g)?.length, 1);
  assert.equal(svg.match(/<rect class="pass"/g)?.length, 1);
  assert(svg.includes("jobs &amp; packs : git") && svg.includes("2 cores &lt;idle>"), svg);
});

Deno.test("median() is the middle figure, or the mean of the middle two", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});

Deno.test("the loopback server answers whole blobs, ranges and preconditions as S3 does", async (t) => {
  const folder = await Deno.makeTempDir();
  const bytes = new Uint8Array(300_000).map((_, i) => i * i >> 3);
  await Deno.mkdir(`${folder}/bucket`);
  await Deno.writeFile(`${folder}/bucket/a:b`, bytes);
  {
    await using server = await startLoopbackS3(folder);
    const url = `${server.endpoint}/bucket/a%3Ab`;
    let etag = "";
    await t.step("whole", async () => {
      const response = await fetch(url);
      etag = response.headers.get("etag")!;
      assert.equal(response.status, 200);
      assert.deepEqual(await response.bytes(), bytes);
    });
    for (const [range, from, to] of [["1000-", 1000, 300_000], ["5-70004", 5, 70_005]] as const) {
      await t.step(`bytes=${range}`, async () => {
        const response = await fetch(url, {
          headers: { range: `bytes=${range}`, "if-match": etag },
        });
        assert.equal(response.status, 206);
        assert.equal(response.headers.get("content-range"), `bytes ${from}-${to - 1}/300000`);
        assert.deepEqual(await response.bytes(), bytes.subarray(from, to));
      });
    }
    await t.step("another version, and none", async () => {
      const other = await fetch(url, { headers: { "if-match": '"other"' } });
      const none = await fetch(`${server.endpoint}/bucket/none`);
      assert.deepEqual([other.status, none.status], [412, 404]);
      await Promise.all([other.body?.cancel(), none.body?.cancel()]);
    });
  }
  await Deno.remove(folder, { recursive: true });
});
