/**
 * The rights that docs/operations.md lists are enough: each command runs under a role that has them
 * and nothing else.
 *
 * @module
 */

import assert from "node:assert/strict";
import postgres from "postgres";
import { makeMpack } from "../../scripts/make_mpack.ts";
import { createTestDatabase } from "../support/postgres/postgres.ts";
import { runMain } from "../support/process/main.ts";

const OPERATIONS = await Deno.readTextFile(new URL("../../docs/operations.md", import.meta.url));

/** The SQL of the document that grants rights to `role`, a statement each. */
function grantsTo(role: string): string[] {
  const blocks = [...OPERATIONS.matchAll(/```sql\n([^]*?)```/g)].map(([, block]) => block);
  const grants = blocks.find((block) => block.includes(`to ${role};`)) ?? assert.fail(role);
  return grants.split(";").map((statement) => statement.trim()).filter((text) => text !== "");
}

Deno.test("each command runs under the role that docs/operations.md gives it", async (t) => {
  await using database = await createTestDatabase("roles");
  const suffix = crypto.randomUUID().slice(0, 8);
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const as = (role: string) => {
    const url = new URL(database.url);
    if (role !== "owner") [url.username, url.password] = [`${role}_${suffix}`, "secret"];
    return { DATABASE_URL: url.href, MPACK_STORE: `file://${folder}/blobs` };
  };
  const run = async (role: string, command: string) => {
    const { code, stdout, stderr } = await runMain(command.split(" "), as(role), { cwd: folder });
    assert.equal(code, 0, `${command}: ${stderr}`);
    return stdout;
  };
  try {
    await Deno.writeFile(`${folder}/pack`, ReadableStream.from(makeMpack({ objects: 20 })));
    await run("owner", "migrate");
    for (const role of ["mpackd_app", "mpackd_reader"]) {
      await sql.unsafe(`create role ${role}_${suffix} login password 'secret'`);
      for (const grant of grantsTo(role)) {
        await sql.unsafe(grant.replace(role, `${role}_${suffix}`));
      }
    }
    for (
      const command of [
        "repo create ada/engine",
        "repo edit ada/engine --visibility public",
        "index pack --repo ada/engine",
        "enqueue pack --repo ada/engine",
        "worker --drain",
        "check pack --missing --repo ada/engine",
        "audit",
        "gc",
        "jobs purge --older-than 1d",
        "identity create ada --key ada.pem",
        "token create ada",
        "token list",
        "identity list",
        "identity revoke ada",
        "repo delete ada/engine",
        "gc --dry-run",
      ]
    ) {
      await t.step(`mpackd_app: ${command}`, () => run("mpackd_app", command).then(() => {}));
    }
    await run("mpackd_app", "index pack --repo ada/notes --create");
    const [{ object_id }] = await sql`select object_id from musehub_object_refs limit 1`;
    for (
      const command of [
        `cat ${object_id} --repo ada/notes --json`,
        "export --repo ada/notes --to objects.tar",
        "refs --repo ada/notes",
        "log --repo ada/notes",
        "ls --repo ada/notes",
        "packs --repo ada/notes",
        "stats",
        "status",
        "jobs list",
        "repo list",
      ]
    ) {
      await t.step(
        `mpackd_reader: ${command.slice(0, 20)}`,
        () => run("mpackd_reader", command).then(() => {}),
      );
    }
    await t.step("mpackd_reader cannot write, and is told why", async () => {
      const args = ["repo", "create", "ada/more", "--json"];
      const { code, stdout } = await runMain(args, as("mpackd_reader"));
      assert.notEqual(code, 0);
      assert.match(JSON.parse(stdout).error.message, /permission denied|rights/);
    });
  } finally {
    for (const role of ["mpackd_app", "mpackd_reader"]) {
      await sql.unsafe(`drop owned by ${role}_${suffix}`).catch(() => {});
      await sql.unsafe(`drop role if exists ${role}_${suffix}`);
    }
    await sql.end();
    await Deno.remove(folder, { recursive: true });
  }
});
