/**
 * The restore drill of docs/operations.md, with pg_dump and the commands that an operator has: the
 * database is dumped, the living system goes on, and the dump is restored beside the living store.
 *
 * @module
 */

import assert from "node:assert/strict";
import postgres from "postgres";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { POSTGRES_15_BIN, startTestServer } from "../support/postgres/test_server.ts";
import { runMain } from "../support/process/main.ts";
import { sampleBytes } from "../support/store/blobs.ts";

const hasPostgres15 = await Deno.stat(`${POSTGRES_15_BIN}/pg_dump`).then(() => true, () => false);
const DAY_MS = 24 * 60 * 60 * 1000;
const contents = [1, 2, 3, 4, 5].map((seed) => sampleBytes(5_000, seed));
const packs = contents.map((content) => buildMpack({ objects: [object({ content })] }));
/** How many packs are there when the dump is made. */
const DUMPED = 2;

Deno.test({
  name: "a dump restored beside the living store loses nothing",
  ignore: !hasPostgres15,
  async fn(t) {
    await using server = await startTestServer({ binDir: POSTGRES_15_BIN });
    const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
    const store = `${folder}/store`, dump = `${folder}/dump`;
    const url = new URL(server.url);
    url.pathname = "/drill";
    const env = { DATABASE_URL: url.href, MPACK_STORE: `file://${store}` };
    const program = async (name: string, ...args: string[]) => {
      const { success, stderr } = await new Deno.Command(`${POSTGRES_15_BIN}/${name}`, { args })
        .output();
      assert.ok(success, new TextDecoder().decode(stderr));
    };
    const admin = async (...statements: string[]) => {
      const sql = postgres(server.url, { max: 1, onnotice: () => {} });
      for (const statement of statements) await sql.unsafe(statement);
      await sql.end();
    };
    const run = async (code: number, ...args: string[]) => {
      const ended = await runMain(args, env);
      assert.equal(ended.code, code, `${args.join(" ")}: ${ended.stdout}${ended.stderr}`);
      return ended.stdout + ended.stderr;
    };
    const index = async (from: number, to: number) => {
      for (const pack of packs.slice(from, to)) {
        await Deno.writeFile(`${folder}/pack`, pack);
        await run(0, "index", `${folder}/pack`, "--repo", "me/repo", "--create");
      }
    };
    /** Every file of the store but its marker, with its length. */
    const blobs = async () => {
      const found: string[] = [];
      const walk = async (path: string) => {
        for await (const { name, isDirectory } of Deno.readDir(path)) {
          if (isDirectory) await walk(`${path}/${name}`);
          else if (name.startsWith("sha256:")) {
            found.push(`${name} ${(await Deno.stat(`${path}/${name}`)).size}`);
            const then = new Date(Date.now() - 2 * DAY_MS);
            await Deno.utime(`${path}/${name}`, then, then);
          }
        }
      };
      await walk(store);
      return found.sort();
    };
    await admin("create database drill");
    await run(0, "migrate");
    await index(0, DUMPED);
    await program("pg_dump", "--format=custom", `--file=${dump}`, url.href);

    await t.step("the living system goes on", async () => {
      // A use is counted once a minute.
      const sql = postgres(url.href, { max: 1 });
      await sql`update mpackd_database set counted_at = now() - interval '2 minutes'`;
      await sql.end();
      await index(DUMPED, packs.length);
    });
    const living = await blobs();
    assert.equal(living.length, packs.length);

    await admin("drop database drill with (force)", "create database drill");
    await program("pg_restore", "--no-owner", `--dbname=${url.href}`, dump);

    await t.step("the older database is noticed, and gc deletes nothing", async () => {
      assert.match(await run(0, "store", "show"), /older/);
      assert.match(await run(2, "gc", "--grace", "1m"), /restored from a backup/);
      assert.match(await run(2, "gc", "--grace", "1m", "--force"), /restored from a backup/);
      assert.deepEqual(await blobs(), living);
    });
    const missing = packs.slice(DUMPED).map((pack) => mpackKey(pack));
    let named: string[] = [];
    await t.step("what is missing is named", async () => {
      const text = await run(0, "gc", "--dry-run", "--grace", "1m");
      named = [...text.matchAll(/mpacks\/[^/\s]+\/(sha256:[0-9a-f]{64})/g)].map(([, key]) => key);
      assert.deepEqual(named.sort(), [...missing].sort());
      assert.deepEqual(await blobs(), living);
    });
    await t.step("indexing it from the store brings it back", async () => {
      for (const key of named) {
        assert.match(await run(0, "index", key, "--repo", "me/repo"), /restored from a backup/);
      }
      for (const content of contents) {
        await run(0, "cat", mpackKey(content), "--repo", "me/repo", "--json");
      }
      await run(0, "audit");
    });
    await t.step("adopted, the store is collected again, and all of it is needed", async () => {
      await run(0, "store", "adopt");
      const { blobs: collected, unknown_blobs } = JSON.parse(
        (await runMain(["gc", "--grace", "1m", "--json"], env)).stdout,
      );
      assert.deepEqual([collected, unknown_blobs], [0, 0]);
      assert.deepEqual(await blobs(), living);
    });
    await Deno.remove(folder, { recursive: true });
  },
});
