/**
 * What a killed process leaves to read again, at the size of the promise: `deno task test:long`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { BUFFER_BYTES, BUFFERS } from "../../src/hash/sha256.ts";
import type { IndexResult } from "../../src/jobs/index/result.ts";
import { comparable, settled, visibleRows } from "../support/process/aftermath.ts";
import { runMain } from "../support/process/main.ts";
import { startVictim } from "../support/process/victim.ts";
import { createWorld, type TestWorld } from "../support/process/worlds.ts";

/** 1 runs the size of the promise (4 GiB); CI runs an eighth, with checkpoints as much closer. */
const SHARE = Number(Deno.env.get("MPACKD_TEST_SHARE") ?? 1 / 8);
const MIB = 1024 ** 2;
const OBJECT_BYTES = 64 * 1024;
const OBJECTS = Math.round(4096 * MIB * SHARE / OBJECT_BYTES);
const CHECKPOINT_BYTES = Math.max(MIB, Math.round(64 * MIB * SHARE));
/** A checkpoint falls due at the next buffer's end, and is sent when the hasher has got there. */
const IN_THE_AIR_BYTES = (BUFFERS + 1) * BUFFER_BYTES;
const KILLS = 20;

Deno.test({
  name: "main.ts index of a large pack, killed at 90% or twenty times, reads little twice",
  ignore: Deno.build.os !== "linux",
  async fn(t) {
    await using clean = await createWorld();
    const shape = { objects: OBJECTS, size: parseSize(String(OBJECT_BYTES)), seed: 41 };
    const path = `${clean.folder}/made.mpack`;
    await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
    const hashed = await new Deno.Command("sha256sum", { args: [path] }).output();
    const key = `sha256:${new TextDecoder().decode(hashed.stdout).slice(0, 64)}`;
    await lend(path, clean, key);
    const result = await finish(clean, key);
    assert.equal(result.objects_written, OBJECTS);
    const wanted = await comparable(clean.db), sizeBytes = result.size_bytes;

    await t.step("killed at 90%", async () => {
      await using world = await createWorld();
      await lend(path, world, key);
      const diedAt = await killAt(world, key, 0.9 * sizeBytes);
      assert.equal(await visibleRows(world.db), 0);
      const { resumed_from_byte, hashed_bytes } = await finish(world, key);
      assert.equal(hashed_bytes, sizeBytes - resumed_from_byte);
      assert.ok(
        hashed_bytes <= 0.1 * sizeBytes + CHECKPOINT_BYTES + IN_THE_AIR_BYTES,
        `${hashed_bytes} of ${sizeBytes} bytes read again`,
      );
      assert.equal(await comparable(world.db), wanted);
      assert.equal(await world.staged(), 0);
      console.log(
        `${sizeBytes} bytes, killed at ${diedAt}: the successor began at ${resumed_from_byte} ` +
          `and read ${percent(hashed_bytes / sizeBytes)}`,
      );
    });

    await t.step("killed twenty times", async () => {
      await using world = await createWorld();
      await lend(path, world, key);
      let mostLost = 0, lost = 0;
      for (let kill = 1; kill <= KILLS; kill++) {
        const diedAt = await killAt(world, key, kill / (KILLS + 1) * sizeBytes);
        assert.equal(await visibleRows(world.db), 0);
        const lostBytes = diedAt - await checkpointed(world);
        assert.ok(
          lostBytes <= CHECKPOINT_BYTES + IN_THE_AIR_BYTES,
          `kill ${kill} at byte ${diedAt} lost ${lostBytes} bytes`,
        );
        mostLost = Math.max(mostLost, lostBytes);
        lost += lostBytes;
      }
      const from = await checkpointed(world);
      const { resumed_from_byte, hashed_bytes } = await finish(world, key);
      assert.equal(resumed_from_byte, from);
      assert.equal(hashed_bytes, sizeBytes - from);
      const [{ attempt }] = await world.db.sql`select attempt from musehub_background_jobs`;
      assert.equal(attempt, KILLS + 1);
      assert.equal(await comparable(world.db), wanted);
      assert.equal(await world.staged(), 0);
      console.log(
        `${sizeBytes} bytes, ${KILLS} kills: ${lost} bytes (${percent(lost / sizeBytes)}) were ` +
          `read twice, ${mostLost} at most by one kill; a checkpoint falls due ` +
          `every ${CHECKPOINT_BYTES}`,
      );
    });
  },
});

/** Puts a file where the world's repo has its packs, without copying it. */
async function lend(path: string, world: TestWorld, key: string): Promise<void> {
  await Deno.mkdir(`${world.folder}/mpacks/${world.repo.repoId}`, { recursive: true });
  await Deno.link(path, world.blobPath(key));
}

function commandOf({ databaseUrl, folder }: TestWorld, key: string) {
  const env = {
    DATABASE_URL: databaseUrl,
    MPACK_STORE: `file://${folder}`,
    MPACK_CHECKPOINT_BYTES: String(CHECKPOINT_BYTES),
  };
  return [["index", key, "--repo", "me/repo", "--json"], env] as const;
}

async function finish(world: TestWorld, key: string): Promise<IndexResult> {
  const { code, stdout, stderr } = await runMain(...commandOf(world, key));
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** Kills a run when it has read so far; returns how far it was. */
async function killAt(world: TestWorld, key: string, bytes: number): Promise<number> {
  const blobPath = world.blobPath(key);
  await using victim = startVictim(...commandOf(world, key));
  const isThere = () => (victim.positionOf(blobPath) ?? 0) >= bytes;
  if (!await victim.stopWhen(isThere)) {
    const { stderr } = await victim.ended;
    assert.fail(`it ended before byte ${bytes}: ${stderr}`);
  }
  const diedAt = victim.positionOf(blobPath)!;
  await victim.kill();
  // The server may still be at work on the last checkpoint.
  await settled(world.db);
  return diedAt;
}

async function checkpointed(world: TestWorld): Promise<number> {
  const [job] = await world.db.sql`
    select (checkpoint->>'offset_bytes')::bigint as bytes from musehub_background_jobs`;
  return job.bytes ?? 0;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)}%`;
}
