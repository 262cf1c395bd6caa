import assert from "node:assert/strict";
import { createRepo } from "../../src/db/repos.ts";
import { MpackdError, ObjectError, StoreError } from "../../src/errors.ts";
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { filterMissing, findGhosts } from "../../src/objects/ghosts.ts";
import { guardMpack } from "../../src/objects/guard_mpack.ts";
import { readObject } from "../../src/objects/read_object.ts";
import { readObjects } from "../../src/objects/read_objects.ts";
import { resultForTenant } from "../../src/jobs/index/result.ts";
import { assertSameBytes, sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { snapshotRecord } from "../support/history/records.ts";

/** A repo, and what its owner can do with it: push packs, read ids, ask what is missing. */
class Tenant {
  constructor(readonly fixture: TestFixture, readonly repoId: string) {}

  /** Uploads a pack of these objects to where this repo's packs lie, and has it indexed. */
  async push(...objects: { objectId: string; content: Uint8Array }[]) {
    const bytes = buildMpack({ objects: objects.map(object) });
    const key = mpackKey(bytes), body = ReadableStream.from([bytes]);
    await this.fixture.store.put(`mpacks/${this.repoId}/${key}`, body, { sizeBytes: bytes.length });
    return await this.index(key);
  }

  async index(key: string) {
    return resultForTenant(await indexMpack({ ...this.#parts(), mpackKey: key }));
  }

  async read(objectId: string): Promise<Uint8Array> {
    const { stream } = await readObject({ ...this.#parts(), objectId });
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async readMany(objectIds: readonly string[]): Promise<[id: string, answer: string][]> {
    const answers: [string, string][] = [];
    const onRefused = (error: MpackdError, id: string) => void answers.push([id, error.code]);
    for await (
      const { objectId, content } of readObjects({ ...this.#parts(), objectIds, onRefused })
    ) {
      answers.push([objectId, content!.toHex()]);
    }
    return answers;
  }

  async ghosts(objectIds: readonly string[]) {
    const options = { ...this.#parts(), objectIds };
    return [await findGhosts(options), await filterMissing(options)];
  }

  /** What the ghost guard says to a slim push that names these. */
  async slim(objectIds: readonly string[]) {
    const manifest = Object.fromEntries(objectIds.map((id, i) => [`path/${i}`, id]));
    const bytes = buildMpack({ snapshots: [snapshotRecord(manifest)], objects: [] });
    const missing: string[] = [], pack = ReadableStream.from([bytes]);
    const onMissing = (ids: readonly string[]) => void missing.push(...ids);
    return { ...await guardMpack({ ...this.#parts(), mpack: pack, onMissing }), missing };
  }

  #parts() {
    const { db, store } = this.fixture;
    return { db, store, repoId: this.repoId };
  }
}

/** Ada's repo and Mallory's, on one database and one store. */
async function withTenants(
  run: (ada: Tenant, mallory: Tenant, fixture: TestFixture) => Promise<void>,
): Promise<void> {
  await using fixture = await createFixture();
  const { repo } = await createRepo(fixture.db, { owner: "mallory", slug: "repo" });
  await run(new Tenant(fixture, fixture.repo.repoId), new Tenant(fixture, repo.repoId), fixture);
}

const SECRET = sampleBytes(500, 1), SECRET_ID = mpackKey(SECRET);

const isCode = (code: string) => (error: unknown) =>
  error instanceof ObjectError && error.code === code;

Deno.test("wrong bytes under Ada's id do not change what she reads, in either order", async (t) => {
  const lies: [string, Uint8Array][] = [
    ["of the same length", sampleBytes(500, 2)],
    ["of another length", sampleBytes(50, 3)],
    ["of no length", new Uint8Array(0)],
    ["that are large", sampleBytes(2_000_000, 4)],
  ];
  for (const [kind, content] of lies) {
    const lie = { objectId: SECRET_ID, content }, truth = { objectId: SECRET_ID, content: SECRET };
    await t.step(`bytes ${kind}, Ada first`, () =>
      withTenants(async (ada, mallory) => {
        await ada.push(truth);
        assertSameBytes(await ada.read(SECRET_ID), SECRET);
        await mallory.push(lie);
        assertSameBytes(await ada.read(SECRET_ID), SECRET);
        await assert.rejects(mallory.read(SECRET_ID), isCode("object-mismatch"));
      }));
    await t.step(`bytes ${kind}, Mallory first`, () =>
      withTenants(async (ada, mallory) => {
        await mallory.push(lie);
        await assert.rejects(ada.read(SECRET_ID), isCode("object-not-found"));
        const { object_refs_written } = await ada.push(truth);
        assert.equal(object_refs_written, 1);
        assertSameBytes(await ada.read(SECRET_ID), SECRET);
        await assert.rejects(mallory.read(SECRET_ID), isCode("object-mismatch"));
        // Pushing again does not help her either.
        await mallory.push({ objectId: mpackKey(sampleBytes(9)), content: sampleBytes(9) }, lie);
        assertSameBytes(await ada.read(SECRET_ID), SECRET);
      }));
  }
});

Deno.test("naming Ada's ids does not give Mallory her objects", async () => {
  await withTenants(async (ada, mallory) => {
    await ada.push({ objectId: SECRET_ID, content: SECRET });
    await mallory.push({ objectId: mpackKey(sampleBytes(7)), content: sampleBytes(7) });
    assert.deepEqual((await mallory.slim([SECRET_ID])).missing, [SECRET_ID]);
    assert.deepEqual(await mallory.ghosts([SECRET_ID]), [[SECRET_ID], [SECRET_ID]]);
    assert.deepEqual((await ada.slim([SECRET_ID])).missing, []);
    await assert.rejects(mallory.read(SECRET_ID), isCode("object-not-found"));
    assert.deepEqual(await mallory.readMany([SECRET_ID]), [[SECRET_ID, "object-not-found"]]);
  });
});

Deno.test("queueing Ada's mpack key fails for Mallory and writes no row", async () => {
  await withTenants(async (ada, mallory, fixture) => {
    const { mpack_key } = await ada.push({ objectId: SECRET_ID, content: SECRET });
    const before = await fixture.dump();
    await assert.rejects(
      mallory.index(mpack_key),
      (error) => error instanceof StoreError && error.code === "blob-missing",
    );
    assert.equal(await fixture.dump(), before);
  });
});

Deno.test("a ref row that points to another repo's mpack is not followed", async () => {
  await withTenants(async (ada, mallory, fixture) => {
    await ada.push({ objectId: SECRET_ID, content: SECRET });
    await fixture.db.sql`insert into musehub_object_refs
        (repo_id, object_id, mpack_id, content_offset, size_bytes)
      select ${mallory.repoId}, object_id, mpack_id, content_offset, size_bytes
      from musehub_object_refs where repo_id = ${ada.repoId}`;
    await assert.rejects(mallory.read(SECRET_ID), isCode("object-not-found"));
    assert.deepEqual(await mallory.readMany([SECRET_ID]), [[SECRET_ID, "object-not-found"]]);
  });
});

Deno.test("no answer reveals to Mallory whether Ada has an object", async () => {
  /** Everything she can send, and every answer, without what differs between any two runs. */
  const askAll = async (adaHasIt: boolean): Promise<string> => {
    let answers = "";
    await withTenants(async (ada, mallory) => {
      const other = sampleBytes(501, 2), guess = adaHasIt ? SECRET : other;
      const { mpack_key } = await ada.push(
        { objectId: mpackKey(guess), content: guess },
        { objectId: mpackKey(sampleBytes(8)), content: sampleBytes(8) },
      );
      const attempt = async (work: Promise<unknown>) => {
        const answer = await work.catch((error) => {
          if (!(error instanceof MpackdError)) throw error;
          return { code: error.code, message: error.message, retryable: error.retryable };
        });
        const text = JSON.stringify(answer instanceof Uint8Array ? answer.toHex() : answer);
        const ids = [[mallory.repoId, "REPO"], [mpack_key, "KEY"], [
          mallory.fixture.folder,
          "STORE",
        ]];
        answers += ids.reduce((found, [id, name]) => found.replaceAll(id, name), text)
          .replaceAll(/"job_id":"[^"]*"|"(elapsed_ms|open|stream|publish)":\d+/g, "") + "\n";
      };
      await attempt(mallory.read(SECRET_ID));
      await attempt(mallory.readMany([SECRET_ID]));
      await attempt(mallory.ghosts([SECRET_ID]));
      await attempt(mallory.slim([SECRET_ID]));
      await attempt(mallory.index(mpack_key));
      await attempt(mallory.push({ objectId: SECRET_ID, content: sampleBytes(9) }));
      await attempt(mallory.read(SECRET_ID));
      await attempt(mallory.push({ objectId: SECRET_ID, content: SECRET }));
      await attempt(mallory.ghosts([SECRET_ID]));
      await attempt(mallory.slim([SECRET_ID]));
    });
    return answers;
  };
  assert.equal(await askAll(true), await askAll(false));
});
