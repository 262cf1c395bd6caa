import assert from "node:assert/strict";
import type { Database } from "../../src/db/client/database.ts";
import { createIdentity } from "../../src/db/identities.ts";
import { createRepo } from "../../src/db/repos.ts";
import { type AskedPlace, TokenFinder } from "../../src/db/token_at_place.ts";
import { createToken } from "../../src/db/tokens.ts";
import { mintToken } from "../../src/http/auth/token.ts";
import { createFixture } from "../support/process/fixture.ts";

const ID = `sha256:${"ab".repeat(32)}`;

type Person = Awaited<ReturnType<typeof person>>;

/** Somebody with a token, and a private repo that has the object. */
async function person(db: Database, handle: string) {
  const identityId = `id-of-${handle}`, token = mintToken();
  const flags = { isAgent: false, isAdmin: false };
  await createIdentity(db, { identityId, handle, publicKey: handle, ...flags });
  await createToken(db, { ...token, identityId, scopes: ["read"], lifetimeMs: 60_000 });
  const { repo: { repoId } } = await createRepo(db, {
    ...{ owner: handle, slug: "null", visibility: "private" },
  });
  const [{ mpack_id }] = await db.sql`
    insert into musehub_mpacks (repo_id, mpack_key, blob_key, etag, size_bytes)
    values (${repoId}, ${`key-of-${handle}`}, 'blob', 'etag', 100) returning mpack_id`;
  await db.sql`
    insert into musehub_object_refs (repo_id, object_id, mpack_id, content_offset, size_bytes)
    values (${repoId}, ${ID}, ${mpack_id}, 1, 1)`;
  return { handle, token, repoId };
}

Deno.test("TokenFinder: lookups of one moment share a statement, and each gets its own answer", async (t) => {
  await using fixture = await createFixture();
  const { db } = fixture;
  // A handle may be the word that PostgreSQL reads as no value.
  const people = await Promise.all(["ann", "null", "carl"].map((handle) => person(db, handle)));
  let statements = 0, fails = false;
  const finder = new TokenFinder({
    ...db,
    intercept: (query) => {
      statements++;
      return fails ? Promise.reject(new Error("no server")) : query;
    },
  } as Database);
  const placesOf = ({ handle, repoId }: Person): AskedPlace[] => [
    { owner: handle, slug: "null" },
    { owner: handle, slug: "null", objectId: ID },
    { repoId },
    { repoId, objectId: ID },
  ];

  await t.step("each with each other's place", async () => {
    const asked = people.flatMap((who) =>
      people.flatMap((whose) => placesOf(whose).map((place) => ({ who, whose, place })))
    );
    const found = await Promise.all(
      asked.map(({ who, place }) => finder.findAt(who.token, place)),
    );
    assert.equal(statements, 4);
    asked.forEach(({ who, whose, place }, index) => {
      const { identity, place: { repo, location } } = found[index]!;
      assert.equal(identity.handle, who.handle);
      assert.equal(repo?.repoId, whose.repoId);
      const mayRead = who === whose && place.objectId !== undefined;
      assert.equal(location?.mpackKey, mayRead ? `key-of-${who.handle}` : undefined);
    });
  });
  await t.step("wrong secrets and texts that look like more lookups move no answer", async () => {
    const [ann, , carl] = people, odd = [`x","y`, `x\\`, `"`, "{}", ","];
    const asks = odd.flatMap((owner) => [
      finder.findAt(ann.token, { owner, slug: owner }),
      finder.findAt({ ...carl.token, secretHash: ann.token.secretHash }, { owner, slug: "null" }),
      finder.findAt(carl.token, { owner: "carl", slug: "null" }),
    ]);
    (await Promise.all(asks)).forEach((found, index) => {
      const expected = [["ann", undefined], undefined, ["carl", carl.repoId]][index % 3];
      assert.deepEqual(found && [found.identity.handle, found.place.repo?.repoId], expected);
    });
  });
  await t.step("more than one statement takes are several", async () => {
    statements = 0;
    const asks = Array.from({ length: 150 }, (_, index) => people[index % 3]);
    const found = await Promise.all(
      asks.map(({ token, handle }) => finder.findAt(token, { owner: handle, slug: "null" })),
    );
    assert.deepEqual(
      found.map((each) => each?.place.repo?.owner),
      asks.map(({ handle }) => handle),
    );
    assert.equal(statements, 3);
  });
  await t.step("if it fails, those that shared it fail, and no later one", async () => {
    const [{ token, repoId }] = people;
    fails = true;
    const asks = [1, 2].map(() => finder.findAt(token, { repoId }));
    const failed = await Promise.allSettled(asks);
    assert.deepEqual(failed.map(({ status }) => status), ["rejected", "rejected"]);
    fails = false;
    assert.equal((await finder.findAt(token, { repoId }))?.place.repo?.repoId, repoId);
  });
});
