import assert from "node:assert/strict";
import { startApi } from "../support/http/api.ts";

Deno.test("a misspelt member of a body or a query is refused by name", async () => {
  await using api = await startApi({ worker: false });
  const json = { owner: "me", name: "x", visiblity: "public" };
  const { status, value } = await api.admin.send("/api/repos", { json });
  assert.equal(status, 422);
  assert.match(value.detail, /\/visiblity: there is no such member; did you mean visibility\?/);
  const query = await api.admin.send("/api/jobs?statsu=failed");
  assert.deepEqual([query.status, /did you mean status/.test(query.value.detail)], [400, true]);
});
