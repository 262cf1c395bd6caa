import assert from "node:assert/strict";
import { startApi } from "../support/api.ts";
import { buildMpack, mpackKey, object } from "../support/mpacks.ts";

const CONTENT = new TextEncoder().encode("only ada has this, so far");
const PACK = new Uint8Array(buildMpack({ objects: [object({ content: CONTENT })] }));
/** The same object in a pack of another key, as somebody would send who guesses the content. */
const GUESS = new Uint8Array(buildMpack({ note: "x", objects: [object({ content: CONTENT })] }));

Deno.test("a stream push does not tell whether another repo has the object", async () => {
  await using api = await startApi({ worker: false });
  const answers = [];
  for (const [owner, pack] of [["ada", PACK], ["bob", GUESS]] as const) {
    const client = await api.identity(owner);
    const json = { owner, name: "one", visibility: "private" };
    assert.equal((await client.send("/api/repos", { json })).status, 201);
    const { status, value } = await client.send(`/${owner}/one/push/stream`, {
      body: pack,
      headers: { "x-mpack-key": mpackKey(pack) },
    });
    assert.equal(status, 200);
    answers.push([value.objects_total, value.objects_written, value.object_refs_written]);
  }
  // Bob's object is no new row of the shared table; to him it must look like one.
  assert.deepEqual(answers, [[1, 1, 1], [1, 1, 1]]);
});
