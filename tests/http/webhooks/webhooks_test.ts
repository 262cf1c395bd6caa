import assert from "node:assert/strict";
import { grantAccess } from "../../../src/db/collaborators.ts";
import { startApi } from "../../support/http/api.ts";

Deno.test("the owner of a repo manages its webhooks; a collaborator and strangers do not", async () => {
  await using api = await startApi({
    worker: false,
    env: { MPACK_WEBHOOK_ALLOW: "10.1.0.0/16" },
  });
  const { db, repo } = api.fixture;
  const me = await api.identity("me"), friend = await api.identity("friend");
  const { repoId } = repo, path = `/api/repos/${repoId}/webhooks`;
  await grantAccess(db, { repoId, identityId: friend.identity!.identityId });
  const stranger = await api.identity("stranger");

  for (const url of ["https://127.0.0.1/", "http://hooks.test/x#y", "ftp://a.test/", "x"]) {
    assert.equal((await me.send(path, { json: { url } })).status, 422, url);
  }
  const made = await me.send(path, { json: { url: "http://10.1.2.3/hook" } });
  assert.equal(made.status, 201);
  const { webhookId, secret } = made.value;
  assert.match(secret, /^whsec_/);
  const listed = await me.send(path);
  assert.ok(!JSON.stringify(listed.value).includes(secret));
  assert.deepEqual(listed.value.webhooks.map((one: { url: string }) => one.url), [
    "http://10.1.2.3/hook",
  ]);
  const one = `${path}/${webhookId}`;
  const tested = await me.send(`${one}/test`, { method: "POST" });
  assert.equal(tested.status, 202);
  const { deliveryId } = tested.value;
  const { value } = await me.send(`${one}/deliveries?limit=1`);
  assert.deepEqual([value.deliveries[0].deliveryId, value.next], [deliveryId, deliveryId]);
  const older = await me.send(`${one}/deliveries?before=${deliveryId}`);
  assert.deepEqual(older.value, { deliveries: [], next: null });
  const resend = `${one}/deliveries/${deliveryId}/resend`;
  assert.equal((await me.send(resend, { method: "POST" })).status, 202);
  const rotated = await me.send(`${one}/rotate`, { method: "POST" });
  assert.notEqual(rotated.value.secret, secret);

  const all: [string, string][] = [
    ...[["GET", path], ["DELETE", one], ["POST", `${one}/rotate`]] as [string, string][],
    ...[["POST", `${one}/test`], ["GET", `${one}/deliveries`], ["POST", resend]] as [
      string,
      string,
    ][],
  ];
  for (const [method, place] of all) {
    assert.equal((await friend.send(place, { method })).status, 403, place);
    assert.equal((await stranger.send(place, { method })).status, 404, place);
    assert.equal((await api.anonymous.send(place, { method })).status, 404, place);
    // An id of another repo finds nothing.
    const { value: mine } = await stranger.send("/api/repos", {
      json: { owner: "stranger", name: `r${all.findIndex(([, p]) => p === place)}` },
    });
    const elsewhere = place.replace(repoId, mine.repoId);
    if (place === path) continue;
    const answer = await stranger.send(elsewhere, { method });
    if (method === "GET") assert.deepEqual(answer.value.deliveries, []);
    else assert.equal(answer.status, 404, elsewhere);
  }
  for (let n = 1; n < 10; n++) {
    assert.equal((await me.send(path, { json: { url: `https://h${n}.test/` } })).status, 201);
  }
  assert.equal((await me.send(path, { json: { url: "https://h10.test/" } })).status, 409);
  assert.equal((await me.send(one, { method: "DELETE" })).status, 204);
  assert.equal((await me.send(one, { method: "DELETE" })).status, 404);
});
