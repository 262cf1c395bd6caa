import assert from "node:assert/strict";
import { grantAccess } from "../../../src/db/collaborators.ts";
import { createRepo } from "../../../src/db/repos.ts";
import { type Client, startApi } from "../../support/http/api.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";

const LIMIT = 10;
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: new Uint8Array(9) })] }));

async function put(url: string): Promise<number> {
  const response = await fetch(url, { method: "PUT", body: PACK });
  await response.arrayBuffer();
  return response.status;
}

/** Statuses of `times` uploads to a URL, one after the other. */
async function putOften(url: string, times: number): Promise<number[]> {
  const statuses = [];
  for (let i = 0; i < times; i++) statuses.push(await put(url));
  return statuses;
}

Deno.test("an upload counts to the client that its URL was made for", async (t) => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_HTTP_REQUESTS_PER_MINUTE: String(LIMIT) },
  });
  const { db } = api.fixture;
  const ada = await api.identity("ada"), bob = await api.identity("bob");
  const { repo } = await createRepo(db, { owner: "ada", slug: "repo" });
  await grantAccess(db, { repoId: repo.repoId, identityId: bob.identity!.identityId });
  const presign = async (client: Client) => {
    const json = { mpack_key: mpackKey(PACK), size_bytes: PACK.length };
    const { value } = await client.send("/ada/repo/push/mpack-presign", { json });
    return value.upload_url as string;
  };
  const urls = [await presign(ada), await presign(bob)];
  await t.step("not to the address, which others share", async () => {
    const forged = urls[0].replace(/client=[^&]*/, "client=somebody");
    const statuses = await putOften(forged, 2 * LIMIT);
    assert.deepEqual(new Set(statuses), new Set([403, 429]));
    assert.equal(await put(urls[0]), 200);
  });
  await t.step("also where two may push to one repo", async () => {
    assert.equal((await putOften(urls[0], LIMIT)).at(-1), 429);
    assert.equal((await ada.send("/api/jobs?limit=1")).status, 429);
    assert.equal(await put(urls[1]), 200);
    assert.equal((await bob.send("/api/jobs?limit=1")).status, 200);
  });
});
