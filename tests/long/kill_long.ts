/**
 * One pack, killed again and again in each phase of its life: `deno task test:long`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { comparable, isVisible, settled, visibleRows } from "../support/process/aftermath.ts";
import { runMain } from "../support/process/main.ts";
import { startVictim, type Victim } from "../support/process/victim.ts";
import { createWorld, type TestWorld } from "../support/process/worlds.ts";

const OBJECTS = Number(Deno.env.get("MPACKD_TEST_KILL_OBJECTS") ?? 100_000);
const KILLS = Number(Deno.env.get("MPACKD_TEST_KILLS") ?? 10);

/** Where kills are aimed, over and over: seven of ten cannot but fall before the publish's end. */
const AIMS = [
  "early",
  "stream",
  "publish",
  "stream",
  "early",
  "stream",
  "after",
  "stream",
  "early",
  "publish",
] as const;
type Aim = typeof AIMS[number];

/** Where a kill fell, by what the database and the kernel say of the stopped process. */
const PHASES = [
  "before its job runs",
  "before the first batch",
  "streaming",
  "read to the end, publish not sent",
  "publish in flight",
  "published, and not told so yet",
] as const;
type Phase = typeof PHASES[number];

/** How long things took in a run that nobody killed, in milliseconds. */
interface Pace {
  readonly untilStreamMs: number;
  readonly publishMs: number;
}

Deno.test({
  name: "main.ts index killed in every phase shows nothing, and the next run completes",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using clean = await createWorld();
    await using world = await createWorld();
    const path = `${world.folder}/kill.mpack`;
    const shape = { objects: OBJECTS, size: parseSize("100"), seed: 31 };
    await Deno.writeFile(path, ReadableStream.from(makeMpack(shape)));
    const envOf = ({ databaseUrl, folder }: TestWorld) => ({
      DATABASE_URL: databaseUrl,
      MPACK_STORE: `file://${folder}`,
      MPACK_BATCH_ROWS: "2000",
    });
    const args = ["index", path, "--repo", "me/repo", "--json"];
    const startedAt = performance.now();
    const first = await runMain(args, envOf(clean));
    assert.equal(first.code, 0, first.stderr);
    const wholeMs = performance.now() - startedAt;
    const { mpack_key, size_bytes, phases_ms } = JSON.parse(first.stdout);
    const publishMs = phases_ms.publish;
    const pace = { publishMs, untilStreamMs: wholeMs - phases_ms.stream - publishMs };
    const blobPath = world.blobPath(mpack_key);

    const empty = () =>
      world.db.sql.unsafe("truncate musehub_objects, musehub_object_refs, musehub_mpacks");
    const fell: { phase: Phase; isPublished: boolean }[] = [];
    let outran = 0;
    while (fell.length < KILLS) {
      const aim = AIMS[fell.length % AIMS.length];
      await using victim = startVictim(args, envOf(world));
      if (!await victim.stopWhen(aimAt(aim, { victim, world, blobPath, size_bytes, pace }))) {
        // It was faster than the axe: begin again with empty tables.
        const { code, stderr } = await victim.ended;
        assert.equal(code, 0, stderr);
        outran++;
        await empty();
        continue;
      }
      // Stopped in mid-publish, it has not heard yet that the server is done.
      if (aim === "after") await settled(world.db);
      const phase = await phaseOf(world, victim.positionOf(blobPath), size_bytes);
      await victim.kill();
      // The server may still be at work on what the dead process had sent.
      await settled(world.db);
      const rows = await visibleRows(world.db), isPublished = rows === 2 * OBJECTS + 1;
      assert.ok(rows === 0 || isPublished, `${rows} rows after kill ${fell.length + 1}, ${phase}`);
      fell.push({ phase, isPublished });
      console.log(`${fell.length}: ${phase}; ${isPublished ? "all" : "nothing"} visible`);
      if (isPublished) await empty();
    }
    const last = await runMain(args, envOf(world));
    assert.equal(last.code, 0, last.stderr);
    console.log(`${KILLS} kills of ${OBJECTS} objects; ${outran} runs outran theirs`);
    const count = (phase: Phase) => fell.filter((kill) => kill.phase === phase);
    console.table(Object.fromEntries(PHASES.map((phase) => [phase, {
      kills: count(phase).length,
      "nothing visible": count(phase).filter(({ isPublished }) => !isPublished).length,
      "all visible": count(phase).filter(({ isPublished }) => isPublished).length,
    }])));
    const { resumed_from_byte, hashed_bytes } = JSON.parse(last.stdout);
    assert.equal(hashed_bytes, size_bytes - resumed_from_byte);
    assert.equal(await world.staged(), 0);
    assert.equal(await comparable(world.db), await comparable(clean.db));
    const before = KILLS - count("published, and not told so yet").length;
    assert.ok(before >= Math.floor(2 / 3 * KILLS), `only ${before} kills came before the end`);
  },
});

interface Scene {
  readonly victim: Victim;
  readonly world: TestWorld;
  readonly blobPath: string;
  readonly size_bytes: number;
  readonly pace: Pace;
}

/** Says when a kill falls due: at a random moment of the phase that is aimed at. */
function aimAt(aim: Aim, scene: Scene): () => boolean | Promise<boolean> {
  const { victim, world, blobPath, size_bytes, pace } = scene;
  const share = Math.random(), startedAt = performance.now();
  switch (aim) {
    case "early":
      return () => performance.now() - startedAt >= share * pace.untilStreamMs;
    case "stream": {
      let fromBytes: number | undefined;
      return () => {
        const atBytes = victim.positionOf(blobPath);
        if (atBytes === undefined) return false;
        fromBytes ??= atBytes;
        return atBytes >= fromBytes + share * (size_bytes - fromBytes);
      };
    }
    case "after":
      return () => isPublishing(world);
    case "publish": {
      let sentAt: number | undefined;
      return async () => {
        if (sentAt === undefined && !await isPublishing(world)) return false;
        sentAt ??= performance.now();
        return performance.now() - sentAt >= share * 0.9 * pace.publishMs;
      };
    }
  }
}

async function phaseOf(
  world: TestWorld,
  atBytes: number | undefined,
  sizeBytes: number,
): Promise<Phase> {
  if (await isPublishing(world)) return "publish in flight";
  if (await isVisible(world.db)) return "published, and not told so yet";
  const [job] = await world.db.sql`
    select exists (select from mpack_staged_objects s where s.job_id = j.job_id) as has_batch
    from musehub_background_jobs j where status in ('pending', 'running')`;
  if (job === undefined || atBytes === undefined) return "before its job runs";
  if (atBytes === sizeBytes) return "read to the end, publish not sent";
  return job.has_batch ? "streaming" : "before the first batch";
}

async function isPublishing({ db }: TestWorld): Promise<boolean> {
  const [{ found }] = await db.sql`
    select exists (select from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
        and query like '%/* mpackd publish */%'
        -- Parsed, but its parameters are still with the client: that is not sent.
        and wait_event is distinct from 'ClientRead') as found`;
  return found;
}
