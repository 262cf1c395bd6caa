import assert from "node:assert/strict";
import { grantAccess, withdrawAccess } from "../../src/db/collaborators.ts";
import { revokeIdentity } from "../../src/db/identities.ts";
import { createRepo, deleteRepo } from "../../src/db/repos.ts";
import { revokeToken } from "../../src/db/tokens.ts";
import { startApi, type TestApi } from "../support/http/api.ts";
import { sampleBytes } from "../support/store/blobs.ts";
import { buildMpack, mpackKey, object } from "../support/mpack/mpacks.ts";

/** Far longer than what sockets and the front buffer. */
const LARGE = sampleBytes(30_000_000, 3);
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: LARGE })] }));
const ID = mpackKey(LARGE), KEY = mpackKey(PACK);
/** Longer than the time between two checks. */
const LATER_MS = 6_000;
const later = () => new Promise((resolve) => setTimeout(resolve, LATER_MS));

/** A repo with the pack, and how somebody loses access to it. */
interface Scene {
  readonly api: TestApi;
  /** `/owner/slug`. */
  readonly path: string;
  /** Undefined for a stranger. */
  readonly token?: string;
  /** Pushes the pack. */
  store(): Promise<unknown>;
  revoke(): Promise<unknown>;
}

function headersOf({ token }: Scene): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** Reads the beginning of the object, and the rest after access was lost; returns what came. */
async function read(scene: Scene): Promise<number> {
  await scene.store();
  const url = `${scene.api.url}${scene.path}/objects/${ID}`;
  const response = await fetch(url, { headers: headersOf(scene) });
  assert.equal(response.status, 200);
  const reader = response.body!.getReader();
  let bytes = (await reader.read()).value!.length;
  await scene.revoke();
  await later();
  try {
    for (let part; !(part = await reader.read()).done;) bytes += part.value.length;
  } catch {
    // Cut.
  }
  return bytes;
}

/** Watches a job that has news after access was lost; returns whether they came. */
async function watch(scene: Scene, jobId: string): Promise<boolean> {
  const { db } = scene.api.fixture, [, owner, slug] = scene.path.split("/");
  await db.sql`insert into musehub_background_jobs
    (job_id, repo_id, job_type, payload, status, created_at)
    select ${jobId}, repo_id, 'other.kind', '{}', 'pending', now()
    from musehub_repos where owner = ${owner} and slug = ${slug}`;
  const url = `${scene.api.url}/api/jobs/${jobId}/events`;
  const response = await fetch(url, { headers: headersOf(scene) });
  assert.equal(response.status, 200, jobId);
  const texts = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assert.match((await texts.read()).value!, /^event: progress\n/);
  await scene.revoke();
  await later();
  await db
    .sql`update musehub_background_jobs set progress = '{"bytes": 1}' where job_id = ${jobId}`;
  try {
    for (let part; !(part = await texts.read()).done;) {
      if (part.value.includes("bytes")) return true;
    }
  } catch {
    // Cut.
  }
  return false;
}

/** Sends half of a pack, and the rest after access was lost; returns the answer. */
async function push(scene: Scene, seed: number): Promise<string> {
  const content = sampleBytes(1_000_000, seed);
  const pack = new Uint8Array(buildMpack({ objects: [object({ content })] }));
  const { hostname, port, host } = new URL(scene.api.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const head = `POST ${scene.path}/push/stream HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n` +
    `Authorization: Bearer ${scene.token}\r\nX-Mpack-Key: ${mpackKey(pack)}\r\n` +
    `Content-Length: ${pack.length}\r\n\r\n`;
  const send = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  };
  await send(new TextEncoder().encode(head));
  await send(pack.subarray(0, pack.length >> 1));
  await scene.revoke();
  await later();
  await send(pack.subarray(pack.length >> 1)).catch(() => {});
  const buffer = new Uint8Array(65536);
  const count = await connection.read(buffer).catch(() => null);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0)).split("\r\n")[0];
}

Deno.test("revocation reaches running reads, events and pushes", async (t) => {
  await using api = await startApi({ worker: false });
  const { db } = api.fixture;
  let repos = 0;
  /** Makes an owner with a repo, and a collaborator. */
  const open = async (visibility: "public" | "private" = "private") => {
    const n = ++repos, owner = `owner${n}`, ada = await api.identity(owner);
    const { repo } = await createRepo(db, { owner, slug: "repo", visibility });
    const bob = await api.identity(`bob${n}`), path = `/${owner}/repo`;
    await grantAccess(db, { repoId: repo.repoId, identityId: bob.identity!.identityId });
    const store = async () => {
      const headers = { "x-mpack-key": KEY };
      const { status } = await ada.send(`${path}/push/stream`, { body: PACK, headers });
      assert.equal(status, 200);
    };
    return { repo, ada, bob, path, store };
  };
  /** The ways to lose access to something private. */
  const ways: Record<string, () => Promise<Scene>> = {
    "a token is revoked": async () => {
      const { ada, path, store } = await open(), { text: token } = await api.token(ada);
      return { api, path, token, store, revoke: () => revokeToken(db, token.split("_")[1]) };
    },
    "an identity is revoked": async () => {
      const { ada, path, store } = await open(), { text: token } = await api.token(ada);
      return { api, path, token, store, revoke: () => revokeIdentity(db, ada.identity!.handle) };
    },
    "a collaborator is removed": async () => {
      const { repo, bob, path, store } = await open(), { text: token } = await api.token(bob);
      const access = { repoId: repo.repoId, identityId: bob.identity!.identityId };
      return { api, path, token, store, revoke: () => withdrawAccess(db, access) };
    },
    "the repo is deleted": async () => {
      const { repo, ada, path, store } = await open(), { text: token } = await api.token(ada);
      return { api, path, token, store, revoke: () => deleteRepo(db, repo) };
    },
  };
  const scenes = Object.entries(ways);
  const openPublic = async () => {
    const { repo, path, store } = await open("public");
    const revoke = () =>
      db.sql`update musehub_repos set visibility = 'private' where repo_id = ${repo.repoId}`;
    return { api, path, store, revoke };
  };
  // All at once: each waits for seconds.
  const made = await Promise.all(scenes.map(async ([name, make], i) => {
    const [reading, watching, pushing] = [await make(), await make(), await make()];
    return {
      name,
      bytes: read(reading),
      news: watch(watching, `job${i}`),
      answer: push(pushing, i),
    };
  }));
  const stranger = read(await openPublic());
  const kept = read({ ...await ways["a token is revoked"](), revoke: () => Promise.resolve() });
  const keptNews = watch(
    { ...await ways["a token is revoked"](), revoke: () => Promise.resolve() },
    "kept",
  );
  await Promise.all([
    ...made.flatMap(({ bytes, news, answer }) => [bytes, news, answer]),
    stranger,
  ]);
  for (const { name, bytes, news, answer } of made) {
    await t.step(`${name}: a read`, async () => assert.ok(await bytes < LARGE.length));
    await t.step(`${name}: events`, async () => assert.equal(await news, false));
    await t.step(`${name}: a push`, async () => assert.match(await answer, /^HTTP\/1\.1 40[14] /));
  }
  await t.step("a public repo becomes private: a read", async () => {
    assert.ok(await stranger < LARGE.length);
  });
  await t.step("who keeps access gets all of it", async () => {
    assert.equal(await kept, LARGE.length);
    assert.equal(await keptNews, true);
  });
  const packs = await db.sql`select from musehub_mpacks where mpack_key <> ${KEY}`;
  assert.equal(packs.length, 0);
});
