import assert from "node:assert/strict";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { drain, sampleBytes } from "../../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { readWhole } from "../../support/mpack/whole_document.ts";
import { createWorld } from "../../support/process/worlds.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;
const MIB = 1024 * 1024;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function blobsIn(folder: string): Promise<number> {
  let blobs = 0;
  try {
    for await (const _ of Deno.readDir(folder)) blobs++;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return blobs;
}

Deno.test("index --materialize killed at random moments writes every blob in the end", async () => {
  const seed = Date.now() >>> 0;
  await using world = await createWorld();
  const contents = Array.from({ length: 900 }, (_, i) => sampleBytes(i * 7, i + 1));
  // Some large ones between them, so that a kill may hit one in the middle.
  contents.splice(300, 0, sampleBytes(3 * MIB, 1001));
  contents.splice(700, 0, sampleBytes(5 * MIB, 1002));
  const bytes = buildMpack({ objects: contents.map((content) => object({ content })) });
  const key = await world.put(bytes);
  const env = {
    DATABASE_URL: world.databaseUrl,
    MPACK_STORE: world.store.url,
    MPACK_LEASE_MS: "5000",
    MPACK_BATCH_ROWS: "50",
    MPACK_CHECKPOINT_BYTES: `${MIB}`,
  };
  const folder = `${world.folder}/objects/${world.repo.repoId}`;
  let state = seed;
  for (let i = 0; i < 4; i++) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", MAIN, "index", key, "--repo", "me/repo", "--materialize"],
      env,
      stdout: "null",
      stderr: "null",
    }).spawn();
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    // By what it has written, because the right time depends on the machine.
    const enough = (i + state / 2 ** 32) * contents.length / 8;
    let isOver = false;
    const status = child.status.finally(() => isOver = true);
    while (!isOver && await blobsIn(folder) <= enough) await sleep(5);
    if (!isOver) child.kill("SIGKILL");
    const { signal, code } = await status;
    assert.equal(signal, "SIGKILL", `seed ${seed}, run ${i}: exit ${code}`);
  }
  const options = world.options(key, { MPACK_BATCH_ROWS: "50" });
  const result = await indexMpack({ ...options, payload: { materialize: true } });
  assert.equal(result.objects_total, contents.length);
  const whole = readWhole(bytes);
  assert(whole.accepted);
  for (const { objectId, sizeBytes } of whole.rows) {
    const blob = await drain(await world.store.open(`objects/${world.repo.repoId}/${objectId}`));
    assert.deepEqual([mpackKey(blob), blob.length], [objectId, sizeBytes], `seed ${seed}`);
  }
  assert.equal(await world.staged(), 0);
});
