import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { type Client, startApi, type TestApi } from "../../support/http/api.ts";
import { MadeHistory, type MadePack } from "../../support/history/make_history.ts";

interface Move {
  readonly branch: string;
  readonly head?: string;
  readonly force?: boolean;
}

type Push = (client: Client, pack: MadePack, move: Move) => ReturnType<Client["send"]>;

/** As clients of May 2026 do: presign, PUT, unpack. */
const byUnpack: Push = async (client, { bytes, mpackKey }, move) => {
  const asked = { mpack_key: mpackKey, size_bytes: bytes.length };
  const { value } = await client.send("/ada/one/push/mpack-presign", { msgpack: asked });
  if (value.upload_url) {
    const put = await fetch(value.upload_url, { method: "PUT", body: new Uint8Array(bytes) });
    assert.equal(put.status, 200, await put.text());
  }
  const msgpack = { mpack_key: mpackKey, ...move };
  return await client.send("/ada/one/push/unpack-mpack", { msgpack });
};

const byStream: Push = (client, { bytes, mpackKey }, { branch, head, force }) => {
  const query = new URLSearchParams({ branch, ...(head ? { head } : {}) });
  if (force !== undefined) query.set("force", String(force));
  return client.send(`/ada/one/push/stream?${query}`, {
    body: new Uint8Array(bytes),
    headers: { "x-mpack-key": mpackKey },
  });
};

for (const [name, push] of Object.entries({ "unpack-mpack": byUnpack, "push/stream": byStream })) {
  Deno.test(`${name} moves a branch, or refuses the pack whole`, async (t) => {
    await using api = await startApi();
    const ada = await api.identity("ada");
    await ada.send("/api/repos", { json: { owner: "ada", name: "one", visibility: "public" } });
    const made = new MadeHistory(), heads = () => branchHeads(api);
    const root = made.commit({ files: { a: "a", b: "b" } });
    await t.step("the first push", async () => {
      const { status, value } = await push(ada, made.pack(), { branch: "main", head: root });
      assert.equal(status, 200, JSON.stringify(value));
      assert.deepEqual(value.branch, { name: "main", head: root, moved: true });
      assert.deepEqual(await heads(), { main: root });
    });
    const ours = made.commit({ files: { a: "a", b: "b", c: "c" } });
    const theirs = made.commit({ parents: [root], files: { a: "a" } });
    const slim = (id: string) => made.pack({ commits: [id], objects: made.objectsOf([id]) });
    await t.step("a fast-forward, and the same pack again", async () => {
      for (const moved of [true, false]) {
        const { status, value } = await push(ada, slim(ours), { branch: "main" });
        assert.equal(status, 200, JSON.stringify(value));
        assert.deepEqual(value.branch, { name: "main", head: ours, moved });
      }
      assert.deepEqual(await heads(), { main: ours });
    });
    await t.step("one that has diverged, unless it is forced", async () => {
      const before = await commits(api);
      const { status, value } = await push(ada, slim(theirs), { branch: "main" });
      assert.deepEqual([status, value.code], [409, "diverged"]);
      assert.deepEqual([await heads(), await commits(api)], [{ main: ours }, before]);
      const forced = await push(ada, slim(theirs), { branch: "main", force: true });
      assert.deepEqual([forced.status, forced.value.branch?.moved], [200, true]);
      assert.deepEqual(await heads(), { main: theirs });
    });
    await t.step("a head that is not the tip, and a bad name", async () => {
      const before = await commits(api);
      const one = made.commit({ parents: [theirs] }), pack = slim(one);
      for (const move of [{ branch: "main", head: "c1" }, { branch: "a..b" }]) {
        const { status, value } = await push(ada, pack, move);
        assert.equal(status, 422, JSON.stringify(value));
        assert.match(value.code, /tips|bad-branch-name/);
      }
      assert.deepEqual([await heads(), await commits(api)], [{ main: theirs }, before]);
    });
    await t.step("fetch sends it back as an mpack", async () => {
      const answer = await api.anonymous.send("/ada/one/fetch", { msgpack: { want: [theirs] } });
      const { commits, branch_heads } = decode(answer.bytes) as {
        commits: { commit_id: string }[];
        branch_heads: object;
      };
      assert.deepEqual(commits.map(({ commit_id }) => commit_id).sort(), [root, theirs].sort());
      assert.deepEqual(branch_heads, { main: theirs });
    });
  });
}

Deno.test("unpack-mpack of one pack for two branches moves both", async () => {
  // Without a worker the first job stays open.
  await using api = await startApi({ worker: false });
  const ada = await api.identity("ada");
  await ada.send("/api/repos", { json: { owner: "ada", name: "one" } });
  const made = new MadeHistory();
  made.commit();
  const { bytes, mpackKey } = made.pack();
  const asked = { mpack_key: mpackKey, size_bytes: bytes.length };
  const { value } = await ada.send("/ada/one/push/mpack-presign", { msgpack: asked });
  await (await fetch(value.upload_url, { method: "PUT", body: new Uint8Array(bytes) })).text();
  const jobs = [];
  for (const branch of ["main", "main", "other"]) {
    const { value } = await ada.send("/ada/one/push/unpack-mpack", {
      msgpack: { mpack_key: mpackKey, branch },
      headers: { prefer: "respond-async" },
    });
    jobs.push(value.job_id);
  }
  assert.equal(jobs[0], jobs[1]);
  assert.notEqual(jobs[0], jobs[2]);
});

async function branchHeads({ anonymous }: TestApi): Promise<unknown> {
  return (await anonymous.send("/ada/one/refs")).value.branch_heads;
}

async function commits({ fixture: { db } }: TestApi): Promise<unknown> {
  const [row] = await db.sql`select count(*)::int as refs,
    (select count(*)::int from musehub_mpacks) as packs from musehub_commit_refs`;
  return row;
}
