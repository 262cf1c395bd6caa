import assert from "node:assert/strict";
import { startServer } from "../support/http/server_process.ts";
import { MuseClient, Refused } from "../support/muse/client.ts";
import { MuseRepo } from "../support/muse/repo.ts";

const MOST_MIB = 400;

interface Shape {
  readonly commits: number;
  readonly files: number;
  readonly fileBytes: number;
}

/** Commits that change one file each, on `main`. */
function madeRepo({ commits, files, fileBytes }: Shape): MuseRepo {
  const repo = new MuseRepo(), tree: Record<string, Uint8Array> = {};
  const content = (i: number) => {
    const bytes = new Uint8Array(fileBytes).fill(i);
    new DataView(bytes.buffer).setUint32(0, i);
    return bytes;
  };
  for (let i = 0; i < files; i++) tree[`src/f${i}.txt`] = content(i);
  for (let i = 0; i < commits; i++) {
    if (i > 0) tree[`src/f${i % files}.txt`] = content(files + i);
    repo.commit("main", tree);
  }
  return repo;
}

const SHAPES: Record<string, Shape> = {
  "10,000 commits": { commits: 10_000, files: 20, fileBytes: 200 },
  "55 MB in 2,700 objects": { commits: 2_600, files: 40, fileBytes: 20_000 },
};

for (const [name, shape] of Object.entries(SHAPES)) {
  Deno.test(`a client pushes and clones ${name}, at once`, async () => {
    await using server = await startServer();
    const headers = {
      authorization: `Bearer ${server.openToken}`,
      "content-type": "application/json",
    };
    const body = JSON.stringify({ owner: "ada", name: "one", visibility: "public" });
    await (await fetch(`${server.url}/api/repos`, { method: "POST", headers, body })).text();
    const url = `${server.url}/ada/one`;
    const ada = new MuseClient(url, server.openToken, madeRepo(shape));
    const head = await ada.push("main");
    // The statistics of the database know nothing of this repo yet.
    const clone = await MuseClient.clone(url);
    assert.equal(clone?.repo.branches.get("main"), head);
    assert.equal(clone.repo.commits.size, shape.commits);
    assert.deepEqual(clone.repo.files(head), ada.repo.files(head));
    // One commit more: the client names every commit that it has.
    const next = ada.repo.commit("main", { ...ada.repo.files(head), "new.txt": "new" });
    await ada.push("main");
    assert.equal(await clone.fetch("main"), next);
    assert.ok(await server.peakMib() < MOST_MIB, `${await server.peakMib()} MiB`);
    await server.assertUnharmed();
  });
}

Deno.test("a history of more than 64 MiB is refused to who takes no more, and sent to others", async () => {
  await using server = await startServer();
  const headers = {
    authorization: `Bearer ${server.openToken}`,
    "content-type": "application/json",
  };
  const body = JSON.stringify({ owner: "ada", name: "one", visibility: "public" });
  await (await fetch(`${server.url}/api/repos`, { method: "POST", headers, body })).text();
  const url = `${server.url}/ada/one`, shape = { commits: 200, files: 20, fileBytes: 400_000 };
  const ada = new MuseClient(url, server.openToken, madeRepo(shape));
  const head = await ada.push("main");
  await assert.rejects(
    MuseClient.clone(url),
    (error) => error instanceof Refused && error.status === 413,
  );
  const asked = await fetch(`${url}/fetch`, {
    method: "POST",
    headers,
    body: JSON.stringify({ want: [head], have: [], max_bytes: 200_000_000 }),
  });
  assert.equal(asked.status, 200);
  let bytes = 0;
  for await (const chunk of asked.body!) bytes += chunk.length;
  assert.ok(bytes > 80_000_000, String(bytes));
  assert.ok(await server.peakMib() < MOST_MIB, `${await server.peakMib()} MiB`);
});
