import { decode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { startServer } from "../../support/http/server_process.ts";
import type { Bundle, MuseCommit } from "../../support/muse/repo.ts";

/** Exchanges that were recorded from MuseHub's client; they are not part of the project. */
const RECORDED = new URL("../../../../shared/wire/", import.meta.url);

interface Exchange {
  readonly n: number;
  readonly step: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly request: string | null;
  readonly status: number;
  readonly answer: string | null;
}

const exchanges = await Deno.readTextFile(new URL("index.jsonl", RECORDED)).then(
  (text) => text.trim().split("\n").map((line) => JSON.parse(line) as Exchange),
  () => undefined,
);

Deno.test({
  name: "the recorded exchanges of MuseHub's client get the answers that it was content with",
  ignore: exchanges === undefined,
  async fn(t) {
    await using server = await startServer();
    const auth = { authorization: `Bearer ${server.openToken}` };
    const created = await fetch(`${server.url}/api/repos`, {
      method: "POST",
      headers: { ...auth, "content-type": "application/json" },
      body: JSON.stringify({ owner: "ada", name: "one", visibility: "public" }),
    });
    const { repoId } = await created.json();
    /** Commits of pushes that were refused. The stand-in of the recording has kept them. */
    const refused = new Set<string>();
    for (const { n, step, method, path, headers, request, status, answer } of exchanges!) {
      await t.step(`${n} ${method} ${path}: ${step}`, async () => {
        const read = (name: string) => Deno.readFile(new URL(name, RECORDED));
        const body = request === null ? undefined : await read(request);
        const asked = body === undefined ? {} : decode(body);
        const response = await fetch(server.url + path, {
          method,
          headers: { ...headers, ...("authorization" in headers ? auth : {}) },
          ...(body === undefined ? {} : { body }),
        });
        const bytes = new Uint8Array(await response.arrayBuffer());
        assert.equal(response.status, status, new TextDecoder().decode(bytes));
        const pushed = (asked as Any).bundle?.commits ?? [];
        for (const { commit_id } of pushed) {
          if (status === 409) refused.add(commit_id);
          else refused.delete(commit_id);
        }
        if (status === 409) return;
        assert.equal(response.headers.get("content-type"), "application/x-msgpack");
        const route = path.replace("/ada/one/", "");
        const wanted = decode(await read(answer!));
        compare(route, { asked, found: decode(bytes), wanted, repoId, refused });
      });
    }
    await server.assertUnharmed();
  },
});

// deno-lint-ignore no-explicit-any -- each route has its own shapes
type Any = any;

/** Compares an answer with the recorded one, field by field. */
function compare(
  route: string,
  { asked, found, wanted, repoId, refused }: {
    readonly asked: Any;
    readonly found: Any;
    readonly wanted: Any;
    readonly repoId: string;
    readonly refused: ReadonlySet<string>;
  },
): void {
  switch (route) {
    case "refs":
      return assert.deepEqual(found, { ...wanted, repo_id: repoId });
    case "filter-objects":
      assert.deepEqual(Object.keys(found), ["missing"]);
      return assert.deepEqual(found.missing.toSorted(), wanted.missing.toSorted());
    case "negotiate":
      assert.deepEqual(
        found.ack.toSorted(),
        wanted.ack.filter((id: string) => !refused.has(id)).toSorted(),
      );
      assert.equal(found.ready, wanted.ready);
      // The client does not use it, and there may be several.
      return assert.ok(found.common_base === null || asked.have.includes(found.common_base));
    case "fetch":
      return compareBundles(found, wanted, asked.have);
    default:
      return assert.deepEqual(found, wanted);
  }
}

/** The recorded answers have all objects; ours may leave out those of commits that the client has. */
function compareBundles(found: Bundle, wanted: Bundle, have: readonly string[]): void {
  assert.deepEqual(Object.keys(found).sort(), Object.keys(wanted).sort());
  assert.deepEqual(found.branch_heads, wanted.branch_heads);
  const byId = (commits: readonly MuseCommit[]) =>
    Object.fromEntries(commits.map((commit) => [commit.commit_id, commit]));
  const ours = byId(found.commits), theirs = byId(wanted.commits);
  assert.deepEqual(Object.keys(ours).sort(), Object.keys(theirs).sort());
  for (const [id, commit] of Object.entries(theirs)) {
    // The client drops it from what it fetches, and so pushes the commit again without: the record
    // that came first is kept, the stand-in has the last.
    const { structured_delta } = commit.structured_delta === null ? ours[id] : commit;
    assert.deepEqual(ours[id], { ...commit, structured_delta });
  }
  const manifests = ({ snapshots }: Bundle) =>
    Object.fromEntries(snapshots.map(({ snapshot_id, manifest }) => [snapshot_id, manifest]));
  assert.deepEqual(manifests(found), manifests(wanted));
  const contents = ({ objects }: Bundle) =>
    new Map(objects.map(({ object_id, content }) => [object_id, content]));
  const sent = contents(found), all = contents(wanted);
  for (const [id, content] of sent) assert.deepEqual(content, all.get(id), id);
  if (have.length === 0) assert.equal(sent.size, all.size);
}
