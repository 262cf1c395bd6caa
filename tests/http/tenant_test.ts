import assert from "node:assert/strict";
import { type Client, startApi, type TestApi } from "../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";
import { snapshotRecord } from "../support/history/records.ts";

const CONTENT = new TextEncoder().encode("only ada has this, so far");
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: CONTENT })] }));
/** The same object in another pack, as a tenant would send who guesses the content. */
const GUESS = new Uint8Array(buildMpack({ note: "x", objects: [object({ content: CONTENT })] }));
const ID = mpackKey(CONTENT);

/** Two owners with a repo each. */
async function owners(api: TestApi): Promise<readonly [ada: Client, bob: Client]> {
  const clients = [];
  for (const owner of ["ada", "bob"]) {
    const client = await api.identity(owner);
    const json = { owner, name: "one", visibility: "private" };
    assert.equal((await client.send("/api/repos", { json })).status, 201);
    clients.push(client);
  }
  return [clients[0], clients[1]];
}

Deno.test("a stream push does not reveal whether another repo has the object", async () => {
  await using api = await startApi({ worker: false });
  const answers = [];
  for (const [i, client] of (await owners(api)).entries()) {
    const owner = client.identity!.handle, pack = [PACK, GUESS][i];
    const { status, value } = await client.send(`/${owner}/one/push/stream`, {
      body: pack,
      headers: { "x-mpack-key": mpackKey(pack) },
    });
    assert.equal(status, 200);
    answers.push([value.objects_total, value.objects_written, value.object_refs_written]);
  }
  // Bob's object adds no row to the shared table, but his answer must not show that.
  assert.deepEqual(answers, [[1, 1, 1], [1, 1, 1]]);
});

Deno.test("no route reveals whether another repo has the object", async () => {
  // The repos share even the blobs of objects: one that exists must look new.
  const env = { MPACK_MATERIALIZE: "on", MPACK_OBJECT_KEY: "objects/{object_id}" };
  await using api = await startApi({ env });
  const answers = [];
  for (const [i, client] of (await owners(api)).entries()) {
    const owner = client.identity!.handle, pack = [PACK, GUESS][i], key = mpackKey(pack);
    const before = [
      await client.send(`/${owner}/one/filter-objects`, { json: { object_ids: [ID] } }),
      await client.send(`/${owner}/one/objects/${ID}`),
      await client.send(`/${owner}/one/objects/${ID}`, { method: "HEAD" }),
      await client.send(`/${owner}/one/objects`, { json: { object_ids: [ID] } }),
    ];
    const asked = { json: { mpack_key: key, size_bytes: pack.length } };
    const presigned = await client.send(`/${owner}/one/push/mpack-presign`, asked);
    assert.equal(presigned.value.already_indexed, false);
    const early = await client.send(`/${owner}/one/push/unpack-mpack`, {
      json: { mpack_key: key },
    });
    const put = await fetch(presigned.value.upload_url, { method: "PUT", body: pack });
    assert.equal(put.status, 200, await put.text());
    const unpacked = await client.send(`/${owner}/one/push/unpack-mpack`, {
      json: { mpack_key: key },
    });
    assert.deepEqual(unpacked.value.materialized, { written: 1, existing: 0, mismatched: 0 });
    const { job_id: jobId } = unpacked.value;
    const job = await client.send(`/api/jobs/${jobId}`);
    const listed = await client.send("/api/jobs");
    const events = await client.send(`/api/jobs/${jobId}/events`);
    const text = new TextDecoder().decode(events.bytes);
    answers.push([...before, early, unpacked, job, listed].map(shapeOf).concat(textOf(text)));
  }
  assert.deepEqual(answers[1], answers[0]);
});

Deno.test("an object of another repo is still a ghost here", async () => {
  await using api = await startApi({ worker: false });
  const [ada, bob] = await owners(api);
  const push = (client: Client, pack: Uint8Array<ArrayBuffer>) =>
    client.send(`/${client.identity!.handle}/one/push/stream`, {
      body: pack,
      headers: { "x-mpack-key": mpackKey(pack) },
    });
  assert.equal((await push(ada, PACK)).status, 200);
  const slim = new Uint8Array(
    buildMpack({ snapshots: [snapshotRecord({ a: ID })], objects: [] }),
  );
  const refused = await push(bob, slim);
  assert.deepEqual([refused.status, refused.value.missing], [409, [ID]]);
  assert.equal((await push(ada, slim)).status, 200);
});

/** An answer without what differs from run to run: names, times, and the keys of the two packs. */
function shapeOf({ status, value }: { status: number; value: unknown }): string {
  return textOf(`${status} ${JSON.stringify(value)}`);
}

function textOf(text: string): string {
  return text
    .replaceAll(/sha256:[0-9a-f]{64}/g, (id) => id === ID ? "THE ID" : "ID")
    .replaceAll(/(ada|bob)\b/g, "OWNER")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replaceAll(/urn:mpackd:request:[\w-]+/g, "REQUEST")
    .replaceAll(
      /"(elapsed_?[mM]s|open|stream|publish|size_?[bB]ytes|hashed_?[bB]ytes)":\d+/g,
      '"$1":N',
    );
}
