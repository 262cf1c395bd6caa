import { decode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { InvalidMpackError } from "../../../src/errors.ts";
import { problemAnswer } from "../../../src/http/problem.ts";
import { startApi } from "../../support/http/api.ts";

const C1 = "1".repeat(64), C2 = "2".repeat(64);

Deno.test("GET refs lists the branches of a repo, as MessagePack whatever is accepted", async (t) => {
  await using api = await startApi({ worker: false });
  const { db, repo: { repoId } } = api.fixture;
  await t.step("an empty repo", async () => {
    for (const accept of ["application/json", "*/*", ""]) {
      const answer = await fetch(`${api.url}/me/repo/refs`, {
        headers: { accept, authorization: `Bearer ${api.admin.token}` },
      });
      assert.equal(answer.headers.get("content-type"), "application/x-msgpack");
      assert.deepEqual(decode(new Uint8Array(await answer.arrayBuffer())), {
        repo_id: repoId,
        domain: "code",
        default_branch: "main",
        branch_heads: {},
      });
    }
  });
  await t.step("branches by name, without those that have no head", async () => {
    const rows = [["main", C1], ["feat/x", C2], ["__proto__", C1], ["empty", null], ["Z", C2]];
    for (const [name, head] of rows) {
      await db.sql`insert into musehub_branches (repo_id, name, head_commit_id)
        values (${repoId}, ${name}, ${head})`;
    }
    await db.sql`update musehub_repos set default_branch = 'feat/x' where repo_id = ${repoId}`;
    // Not decoded: the library refuses the key __proto__.
    const headers = { authorization: `Bearer ${api.admin.token}` };
    const text = await (await fetch(`${api.url}/me/repo/refs`, { headers })).text();
    const names = ["Z", "__proto__", "feat/x", "main"];
    const heads = text.slice(text.indexOf("branch_heads"));
    assert.deepEqual(heads.match(/(Z|__proto__|feat\/x|main|empty)(?=.{2}[12]{64})/gs), names);
    assert.ok(!heads.includes("empty"));
  });
  await t.step("a private repo reads like none to strangers", async () => {
    await db.sql`update musehub_repos set visibility = 'private' where repo_id = ${repoId}`;
    const answers = [];
    for (const path of ["/me/repo/refs", "/me/other/refs"]) {
      const { status, value } = await api.anonymous.send(path);
      answers.push([status, value.code, value.detail]);
    }
    assert.deepEqual(answers[0], answers[1]);
    assert.equal(answers[0][0], 404);
  });
});

Deno.test("POST presign sends all objects to push/objects", async () => {
  await using api = await startApi({ worker: false });
  const msgpack = { object_ids: [C1, C2], direction: "put" };
  const { status, value } = await api.admin.send("/me/repo/presign", { msgpack });
  assert.equal(status, 200);
  assert.deepEqual(value, { presigned: {}, inline: [C1, C2] });
  const stranger = await api.anonymous.send("/me/repo/presign", { msgpack });
  assert.ok([401, 404].includes(stranger.status));
});

Deno.test("a refusal to MuseHub's client says all in 400 characters", async (t) => {
  const refusal = (detail: string) => {
    const error = new InvalidMpackError("bad-content", detail, { offsetBytes: 12 });
    return problemAnswer(error, crypto.randomUUID(), { isForMuse: true }).body as string;
  };
  await t.step("a short one is whole, its detail first", () => {
    const text = refusal("Cannot accept the pack: it is wrong");
    assert.ok(text.startsWith('{"detail":"Cannot accept the pack: it is wrong at byte 12"'), text);
    const { status, code, offset_bytes, retryable } = JSON.parse(text);
    assert.deepEqual([status, code, offset_bytes, retryable], [422, "bad-content", 12, false]);
  });
  await t.step("a long one is cut, and stays a problem document", () => {
    for (const letter of ["x", '"', "\n", "é", "😀", "\0", "\ud83d"]) {
      for (const length of [150, 200, 300, 5_000]) {
        const text = refusal(letter.repeat(length));
        assert.ok(text.length <= 400, `${letter} ${text.length}`);
        const { detail, code } = JSON.parse(text);
        assert.equal(code, "bad-content");
        if (length > 300) assert.match(detail, /…$/);
      }
    }
  });
});
