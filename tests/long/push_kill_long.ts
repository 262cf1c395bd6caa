/**
 * A server that is killed with SIGKILL at random moments of pushes, by each way to push.
 *
 * @module
 */

import { decode, encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { collectGarbage } from "../../src/maintenance/gc/gc.ts";
import { generator, type Random } from "../support/attack/random.ts";
import { type ServerProcess, startServer } from "../support/http/server_process.ts";
import { MuseClient } from "../support/muse/client.ts";
import { type Bundle, MuseRepo, parentsOf, sha256 } from "../support/muse/repo.ts";
import { installOracle } from "../support/postgres/publish_oracle.ts";
import { createFixture, type TestFixture } from "../support/process/fixture.ts";
import { wrongHistory } from "../simulator/oracles/history.ts";
import { type SnapshotPack, takeSnapshot } from "../simulator/oracles/snapshot.ts";

const ROUNDS = 10;
/** More objects than a client sends in one request, in small batches, so that rows are staged. */
const FILES = 450, FILE_BYTES = 2_000;
const ENV = { MPACK_BATCH_ROWS: "50" };

/** Pushes the head of a branch; rejects unless the server says that it took it. */
type Push = (server: ServerProcess, repo: MuseRepo, branch: string) => Promise<void>;

const asClient: Push = async (server, repo, branch) => {
  const client = new MuseClient(`${server.url}/me/repo`, server.openToken, repo);
  assert.equal(await client.push(branch), repo.branches.get(branch));
};

const byStream: Push = async (server, repo, branch) => {
  const { bytes, mpackKey } = await packOf(server, repo, branch);
  const answer = await fetch(`${server.url}/me/repo/push/stream?branch=${branch}`, {
    method: "POST",
    headers: { ...auth(server), "x-mpack-key": mpackKey },
    body: bytes,
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
};

const byUnpack: Push = async (server, repo, branch) => {
  const { bytes, mpackKey } = await packOf(server, repo, branch);
  const post = async (route: string, value: object) => {
    const answer = await fetch(`${server.url}/me/repo/push/${route}`, {
      method: "POST",
      headers: { ...auth(server), "content-type": "application/json" },
      body: JSON.stringify(value),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text);
  };
  const asked = { mpack_key: mpackKey, size_bytes: bytes.length };
  const { upload_url } = await post("mpack-presign", asked);
  if (upload_url) {
    const put = await fetch(upload_url, { method: "PUT", body: bytes });
    await put.body?.cancel();
    assert.equal(put.status, 200);
  }
  const { branch: moved } = await post("unpack-mpack", { mpack_key: mpackKey, branch });
  assert.equal(moved.head, repo.branches.get(branch));
};

const WAYS: Record<string, Push> = { client: asClient, stream: byStream, unpack: byUnpack };

const auth = ({ openToken }: ServerProcess) => ({ authorization: `Bearer ${openToken}` });

/** What the server lacks of a branch, as one pack. */
async function packOf({ url }: ServerProcess, repo: MuseRepo, branch: string) {
  const { branch_heads } = await new MuseClient(`${url}/me/repo`).refs();
  const head = repo.branches.get(branch)!;
  const commits = repo.walk(head, new Set(Object.values(branch_heads).filter((id) => id !== head)));
  const snapshots = commits.map(({ snapshot_id }) => repo.snapshots.get(snapshot_id)!);
  const ids = new Set(snapshots.flatMap(({ manifest }) => Object.values(manifest)));
  const objects = [...ids].map((id) => ({ object_id: id, content: repo.contents.get(id)! }));
  const bytes = new Uint8Array(encode({ commits, snapshots, objects }));
  return { bytes, mpackKey: `sha256:${sha256(bytes)}` };
}

function commitAnother(repo: MuseRepo, branch: string, random: Random): void {
  const tree: Record<string, Uint8Array> = {};
  for (let i = 0; i < FILES; i++) {
    const content = new Uint8Array(FILE_BYTES).fill(i);
    content.set(random.bytes(8));
    tree[`f${i}`] = content;
  }
  repo.commit(branch, tree);
}

/** Branches with all that they reach, and nothing else that readers see. */
async function assertTogether(fixture: TestFixture, repos: readonly MuseRepo[]): Promise<void> {
  const snapshot = await takeSnapshot(fixture.db);
  const bundles = new Map<number, Bundle>();
  for (const { mpackId, mpackKey, blobKey } of snapshot.packs) {
    const bytes = await Deno.readFile(`${fixture.folder}/${blobKey}`);
    assert.equal(`sha256:${sha256(bytes)}`, mpackKey);
    bundles.set(mpackId, decode(bytes) as Bundle);
  }
  const commitsOf = ({ mpackId }: SnapshotPack) =>
    (bundles.get(mpackId)!.commits ?? []).map(({ commit_id }) => commit_id);
  assert.deepEqual(wrongHistory(snapshot, commitsOf), []);
  assert.deepEqual(snapshot.endedTwice, []);
  const refs = new Set(snapshot.refs.map(([, id]) => id));
  const reached = new Set<string>();
  for (const [, branch, head] of snapshot.heads) {
    const repo = repos.find(({ branches }) => branches.has(branch))!;
    for (const { commit_id, snapshot_id } of repo.walk(head, new Set())) {
      reached.add(commit_id);
      for (const id of Object.values(repo.snapshots.get(snapshot_id)!.manifest)) {
        assert.ok(refs.has(id), `${branch} is at ${head}, and object ${id} is not there`);
      }
    }
  }
  for (const [, commitId] of snapshot.commits) {
    assert.ok(reached.has(commitId), `commit ${commitId} is there, and no branch has moved to it`);
  }
}

Deno.test("a server killed at random moments of pushes moves branch and objects together", async () => {
  const seed = Number(Deno.env.get("MPACKD_TEST_SEED") ?? Date.now() % 1_000_000);
  const random = generator(seed);
  await using fixture = await createFixture();
  await installOracle(fixture.db);
  await fixture.db.sql`update musehub_repos set visibility = 'public'`;
  const writers = Object.entries(WAYS).map(([branch, push]) => ({
    branch,
    push,
    repo: new MuseRepo(),
  }));
  const repos = writers.map(({ repo }) => repo);
  const ends = { answered: 0, moved: 0, stayed: 0 };
  let longestMs = 0;
  try {
    for (let round = 0; round <= ROUNDS; round++) {
      await using server = await startServer({ fixture, env: ENV, args: ["--worker"] });
      if (round > 0) {
        // Again what was cut off: nothing is in its way.
        await Promise.all(writers.map((one) => one.push(server, one.repo, one.branch)));
        await assertTogether(fixture, repos);
      }
      if (round === ROUNDS) {
        const clone = await MuseClient.clone(`${server.url}/me/repo`);
        for (const { repo, branch } of writers) {
          const head = repo.branches.get(branch)!;
          assert.equal(clone?.repo.branches.get(branch), head);
          assert.deepEqual(clone.repo.files(head), repo.files(head));
          assert.equal(repo.walk(head, new Set()).length, ROUNDS);
        }
        assert.equal(await server.stop(), 0);
        continue;
      }
      const startedAt = performance.now();
      const pushes = writers.map(async ({ repo, branch, push }) => {
        commitAnother(repo, branch, random);
        const isTaken = await push(server, repo, branch).then(() => true, () => false);
        if (isTaken) longestMs = Math.max(longestMs, performance.now() - startedAt);
        return isTaken;
      });
      const killAfterMs = random.below(Math.max(500, longestMs));
      await Promise.race([
        Promise.all(pushes),
        new Promise((resolve) => setTimeout(resolve, killAfterMs)),
      ]);
      await server.kill();
      const taken = await Promise.all(pushes);
      await assertTogether(fixture, repos);
      const rows = await fixture.db.sql`select name, head_commit_id from musehub_branches`;
      const heads = new Map(rows.map((row) => [row.name, row.head_commit_id]));
      writers.forEach(({ repo, branch }, i) => {
        const head = repo.branches.get(branch)!;
        const [before = null] = parentsOf(repo.commits.get(head)!);
        const now = heads.get(branch) ?? null;
        assert.ok(now === head || !taken[i] && now === before, `${branch} is at ${now}`);
        ends[taken[i] ? "answered" : now === head ? "moved" : "stayed"]++;
      });
      // As if its leases had expired: their time is what other tests wait for.
      await fixture.db.sql`update musehub_background_jobs set lease_expires_at = now()
        where status = 'running'`;
    }
    await collectGarbage({
      db: fixture.db,
      store: fixture.store,
      config: fixture.config(),
      graceMs: 0,
      signal: new AbortController().signal,
    });
    await assertTogether(fixture, repos);
    assert.equal(await fixture.staged(), 0);
    const blobs = await Array.fromAsync(fixture.store.list("mpacks/"), ({ key }) => key);
    const known = await fixture.db.sql`select blob_key from musehub_mpacks`;
    assert.deepEqual(blobs.sort(), known.map((row) => row.blob_key).sort());
    assert.ok(ends.stayed > 0, "no kill came before a publish");
    console.log(`Killed ${ROUNDS} times; of ${3 * ROUNDS} pushes: ${JSON.stringify(ends)}`);
  } catch (error) {
    throw new Error(`With MPACKD_TEST_SEED=${seed}`, { cause: error });
  }
});
