/**
 * Histories that break a rule, by each way into a repo: the same code and the same byte, and nothing
 * is left of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createRepo } from "../../../src/db/repos.ts";
import { InvalidMpackError } from "../../../src/errors.ts";
import { MAX_DELTA_DEPTH } from "../../../src/db/history/snapshots.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import { startApi, type TestApi } from "../../support/http/api.ts";
import {
  commitRecord,
  type Fields,
  type Manifest,
  snapshotIdOf,
  snapshotRecord,
} from "../../support/history/records.ts";
import { MuseClient } from "../../support/muse/client.ts";
import {
  buildMpack,
  bytesOf,
  map,
  mpackKey,
  object,
  Raw,
  raw,
  type Value,
} from "../../support/mpack/mpacks.ts";
import { HELLO, mark, marked } from "../../support/mpack/rules.ts";
import { encodedObject, runFrame } from "../../support/mpack/zstd.ts";

const A = mpackKey(HELLO), NOBODYS = mpackKey(new TextEncoder().encode("nobody's"));
const FILES: Manifest = { "a.txt": A }, MORE: Manifest = { "a.txt": A, "b.txt": A };
const ELSEWHERE: Manifest = { "elsewhere.txt": A };

const commitOf = (files: Manifest, fields: Fields = {}, extra: Fields = {}) =>
  commitRecord({ snapshot_id: snapshotIdOf(files), ...fields }, extra);
const deltaOf = (from: Manifest, to: Manifest, extra: Fields = {}): Fields => ({
  snapshot_id: snapshotIdOf(to),
  parent_snapshot_id: snapshotIdOf(from),
  delta_add: Object.fromEntries(Object.entries(to).filter(([path, id]) => from[path] !== id)),
  delta_remove: Object.keys(from).filter((path) => !(path in to)),
  ...extra,
});

const ROOT = commitOf(FILES), OTHERS = commitOf(ELSEWHERE, { message: "another repo's" });
const NEXT = commitOf(MORE, { parent_commit_id: ROOT.commit_id, message: "next" });
const hello = object({ content: HELLO });

/** A pack; by default of a commit on the root, with its snapshot, and what it names. */
function packOf({ commits = [NEXT], snapshots = [snapshotRecord(MORE)], ...sections }: {
  readonly [section: string]: readonly Value[] | undefined;
}): Uint8Array {
  return buildMpack({ commits, snapshots, objects: [hello], ...sections } as Fields);
}

type Case = [name: string, code: string, pack: Uint8Array];

/** Most blame a byte; a mark stands before it. */
function cases(): Case[] {
  const one = commitOf(MORE, { parent_commit_id: ROOT.commit_id, message: "1" });
  const two = commitOf(MORE, { parent_commit_id: ROOT.commit_id, message: "2" });
  const on = (id: Value) => commitOf(MORE, { parent_commit_id: id });
  const files = (path: Value) =>
    packOf({ snapshots: [{ snapshot_id: snapshotIdOf(MORE), manifest: map([[mark(path), A]]) }] });
  const circle = [on(NOBODYS), on(NOBODYS)].map((commit, i) => ({
    ...commit,
    commit_id: [A, NOBODYS][i],
    parent_commit_id: [NOBODYS, A][i],
  }));
  return [
    [
      "a commit under a false id",
      "false-id",
      packOf({ commits: [mark({ ...NEXT, commit_id: A })] }),
    ],
    [
      "commits that are each other's parents",
      "false-id",
      packOf({
        commits: [mark(circle[0]), circle[1]],
      }),
    ],
    [
      "a snapshot under a false id",
      "false-id",
      packOf({
        snapshots: [mark({ ...snapshotRecord(FILES), snapshot_id: snapshotIdOf(MORE) })],
      }),
    ],
    [
      "a delta under a false id",
      "false-id",
      packOf({
        snapshots: [snapshotRecord(FILES), mark(deltaOf(FILES, MORE, { delta_add: {} }))],
      }),
    ],
    [
      "a delta to the repo's snapshot under a false id",
      "false-id",
      packOf({
        snapshots: [mark(deltaOf(FILES, MORE, { delta_remove: ["a.txt"] }))],
      }),
    ],
    [
      "a delta to a snapshot that nobody has",
      "snapshot-missing",
      packOf({
        snapshots: [mark(deltaOf({}, MORE))],
      }),
    ],
    [
      "a delta to another repo's snapshot",
      "snapshot-missing",
      packOf({
        snapshots: [mark(deltaOf(ELSEWHERE, MORE))],
      }),
    ],
    [
      "a delta before its parent",
      "snapshot-missing",
      packOf({
        snapshots: [mark(deltaOf({ z: A }, MORE)), snapshotRecord({ z: A })],
      }),
    ],
    [
      "deltas that are each other's parents",
      "snapshot-missing",
      packOf({
        snapshots: [mark(deltaOf({ z: A }, MORE)), deltaOf(MORE, { z: A })],
      }),
    ],
    ["a parent that nobody has", "parent-missing", packOf({ commits: [mark(on(NOBODYS))] })],
    [
      "a parent that another repo has",
      "parent-missing",
      packOf({
        commits: [NEXT, mark(on(OTHERS.commit_id))],
      }),
    ],
    [
      "a snapshot that nobody has",
      "snapshot-missing",
      packOf({
        commits: [mark(NEXT)],
        snapshots: [],
      }),
    ],
    [
      "a snapshot that another repo has",
      "snapshot-missing",
      packOf({
        commits: [one, mark(commitOf(ELSEWHERE, { parent_commit_id: one.commit_id }))],
      }),
    ],
    ["two tips", "tips", packOf({ commits: [one, mark(two)] })],
    ["an empty record", "bad-record-id", packOf({ commits: [mark({})] })],
    ["a path that leaves the folder", "bad-path", files("../a.txt")],
    ["an absolute path", "bad-path", files("/etc/passwd")],
    ["a path with NUL", "bad-text", files("a\0.txt")],
    ["a path that is not UTF-8", "bad-text", files(raw([0xa1, 0xff]))],
    [
      "a path twice",
      "duplicate-key",
      packOf({
        snapshots: [{
          snapshot_id: snapshotIdOf(MORE),
          manifest: map([["a.txt", A], ["b.txt", A], [mark("a.txt"), A]]),
        }],
      }),
    ],
    [
      "an unknown encoding",
      "unsupported-encoding",
      packOf({
        objects: [map([["object_id", A], ["encoding", mark("lz4")], ["content", HELLO]])],
      }),
    ],
  ];
}

interface Verdict {
  readonly code: string;
  readonly offset_bytes?: number;
}

/** Each way to push a pack to `main` of me/repo; returns the refusal. */
const WAYS: Record<string, (api: TestApi, pack: Uint8Array) => Promise<Verdict>> = {
  async "indexMpack()"({ fixture }, pack) {
    const options = fixture.options(await fixture.put(pack));
    const payload = { branch: "main", strict: true };
    const error = await indexMpack({ ...options, payload }).then(() => undefined, (e) => e);
    assert.ok(error instanceof InvalidMpackError, String(error));
    return { code: error.code, offset_bytes: error.offsetBytes };
  },
  async push({ admin }, pack) {
    const body = map([["bundle", new Raw(pack)], ["branch", "main"], ["force", false]]);
    return refusalOf(
      await admin.send("/me/repo/push", {
        body: new Uint8Array(bytesOf(body)),
        headers: { "content-type": "application/x-msgpack" },
      }),
    );
  },
  async "push/stream"({ admin }, pack) {
    return refusalOf(
      await admin.send("/me/repo/push/stream?branch=main", {
        body: new Uint8Array(pack),
        headers: { "x-mpack-key": mpackKey(pack) },
      }),
    );
  },
  async "unpack-mpack"({ admin, fixture }, pack) {
    const json = { mpack_key: await fixture.put(pack), branch: "main" };
    return refusalOf(await admin.send("/me/repo/push/unpack-mpack", { json }));
  },
};

function refusalOf(
  { status, value }: { readonly status: number; readonly value: Verdict },
): Verdict {
  assert.ok(status === 422 || status === 413, `${status} ${JSON.stringify(value)}`);
  const { code, offset_bytes } = value;
  return { code, offset_bytes };
}

Deno.test("a hostile history gets its code and its byte by each way, and leaves nothing", async (t) => {
  await using api = await startApi();
  const { fixture } = api, { db, repo: { repoId } } = fixture;
  const other = await createRepo(db, { owner: "me", slug: "other" });
  for (
    const [id, commit, files] of [[repoId, ROOT, FILES], [
      other.repo.repoId,
      OTHERS,
      ELSEWHERE,
    ]] as const
  ) {
    const pack = buildMpack({
      commits: [commit],
      snapshots: [snapshotRecord(files)],
      objects: [hello],
    });
    const mpackKey = await fixture.put(pack);
    if (id !== repoId) {
      await fixture.store.put(`mpacks/${id}/${mpackKey}`, ReadableStream.from([pack]), {
        sizeBytes: pack.length,
      });
    }
    const payload = { branch: "main", strict: true };
    const { branch } = await indexMpack({ ...fixture.options(mpackKey), repoId: id, payload });
    assert.equal(branch?.moved, true);
  }
  const before = await fixture.dump();
  const refuse = async (pack: Uint8Array, verdict: Verdict) => {
    for (const [way, push] of Object.entries(WAYS)) {
      assert.deepEqual(await push(api, pack), verdict, way);
      assert.equal(await fixture.dump(), before, way);
      assert.equal(await fixture.staged(), 0, way);
    }
  };
  for (const [name, code, bytes] of cases()) {
    await t.step(`${code}: ${name}`, async () => {
      const { pack, offsetBytes } = marked(bytes);
      await refuse(pack, { code, offset_bytes: offsetBytes });
    });
  }
  await t.step("limit-exceeded: a snapshot at the end of too many deltas", async () => {
    const { pack, offsetBytes } = marked(packOf({ snapshots: [mark(deltaOf(FILES, MORE))] }));
    // As if so many deltas led to the repo's snapshot: to push them takes seconds.
    await db.sql`update musehub_snapshot_refs set delta_depth = ${MAX_DELTA_DEPTH}
      where repo_id = ${repoId}`;
    const changed = await fixture.dump();
    for (const [way, push] of Object.entries(WAYS)) {
      const verdict = { code: "limit-exceeded", offset_bytes: offsetBytes };
      assert.deepEqual(await push(api, pack), verdict, way);
      assert.equal(await fixture.dump(), changed, way);
    }
  });
});

Deno.test("no route sends what a bomb in zstd decodes to", (t) => sendNoBomb(t, "1048576"));

Deno.test("a fetch ends before a bomb that makes it longer than its bound", async (t) => {
  await sendNoBomb(t, "1000000000", ["POST fetch"]);
});

async function sendNoBomb(
  t: Deno.TestContext,
  maxContentBytes: string,
  only?: readonly string[],
): Promise<void> {
  await using api = await startApi({ env: { MPACK_MAX_CONTENT_BYTES: maxContentBytes } });
  const { admin, fixture } = api;
  // 64 MiB in 2 KiB; its id is right, as far as a reader would get.
  const stored = runFrame({ blocks: Array(512).fill(128 * 1024) });
  const plain = new Uint8Array(512 * 128 * 1024).fill(0x61), objectId = mpackKey(plain);
  const files = { "bomb.txt": objectId }, commit = commitOf(files);
  const pack = buildMpack({
    commits: [commit],
    snapshots: [snapshotRecord(files)],
    objects: [encodedObject({ plain, stored, objectId })],
  });
  const payload = { branch: "main", strict: true };
  await indexMpack({ ...fixture.options(await fixture.put(pack)), payload });
  const asked: Record<string, [path: string, json?: object]> = {
    "GET objects/ID": [`/me/repo/objects/${objectId}`],
    "POST objects": ["/me/repo/objects", { object_ids: [objectId] }],
    "GET blob": ["/me/repo/blob/main/bomb.txt"],
    "POST fetch": ["/me/repo/fetch", { want: [commit.commit_id], have: [] }],
  };
  for (const [name, [path, json]] of Object.entries(asked)) {
    if (only !== undefined && !only.includes(name)) continue;
    await t.step(name, async () => {
      const answer = await fetch(api.url + path, {
        method: json === undefined ? "GET" : "POST",
        headers: {
          authorization: `Bearer ${admin.token}`,
          "accept-encoding": "identity",
          "content-type": "application/json",
        },
        ...(json && { body: JSON.stringify(json) }),
      });
      // What has begun as a stream is cut, or comes without the object.
      const bytes = await answer.bytes().catch(() => undefined);
      assert.ok(answer.status >= 400 || bytes === undefined || bytes.length < 10_000, name);
      if (answer.status === 200 && bytes !== undefined) {
        assert.ok(!new TextDecoder().decode(bytes).includes("aaaaaaaa"), name);
      }
    });
  }
}

Deno.test("a repo of ten thousand branches is listed, cloned and pushed to", async () => {
  await using api = await startApi();
  const { db, repo: { repoId } } = api.fixture, url = `${api.url}/me/repo`;
  await db.sql`update musehub_repos set visibility = 'public' where repo_id = ${repoId}`;
  const ada = new MuseClient(url, api.admin.token);
  for (let i = 0; i < 10; i++) ada.repo.commit("main", { a: `${i}` });
  const head = await ada.push("main");
  await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
    select ${repoId}, 'b' || i || '-' || right(commit_id, 9), commit_id
    from musehub_commit_refs, generate_series(1, 1000) as i where repo_id = ${repoId}`;
  const clone = await MuseClient.clone(url);
  assert.equal(clone?.repo.branches.size, 10_001);
  assert.deepEqual(clone.repo.files(head), ada.repo.files(head));
  const next = ada.repo.commit("main", { a: "next" });
  assert.equal(await ada.push("main"), next);
  assert.equal(await clone.fetch("main"), next);
});
