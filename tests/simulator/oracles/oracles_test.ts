import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { Random } from "../../fuzz/random.ts";
import { nameOf, problemsAt, problemsInTheEnd } from "./oracles.ts";
import { PackMaker, type SimPack } from "../packs.ts";
import type { Snapshot } from "./snapshot.ts";
import { StatementFaults } from "../faults/statement_faults.ts";
import { StoreFaults } from "../faults/store_faults.ts";
import { Tally } from "../tally.ts";

/** Packs of a seed, the first `count` that are wanted. */
function packsOf(seed: number, count: number, isWanted: (pack: SimPack) => boolean): SimPack[] {
  const maker = new PackMaker(new Random(seed)), packs: SimPack[] = [];
  while (packs.length < count) {
    const pack = maker.make("r");
    if (isWanted(pack)) packs.push(pack);
  }
  return packs;
}

/** A good pack that is published, a bad one that has failed, and one that waits. */
function cleanScene() {
  const isGood = ({ rejection, rows, commitIds }: SimPack) =>
    rejection === undefined && rows.length > 2 && commitIds.length > 1;
  const [good, waiting] = packsOf(1, 2, isGood);
  const [bad] = packsOf(2, 1, ({ rejection }) => rejection === "digest-mismatch");
  const packs = [good, waiting, bad].map((pack) => ({ ...pack, blobKey: "b", etag: "e" }));
  const job = (id: string, { repoId, mpackKey }: SimPack, status: string, more: object = {}) => (
    {
      id,
      repoId,
      mpackKey,
      status,
      code: null,
      message: null,
      result: null,
      objectsWritten: null,
      ...more,
    }
  );
  const { repoId, mpackKey, rows, counts } = good, written = rows.length;
  const head = good.commitIds.at(-1)!;
  const branch = { name: "main", head, moved: true };
  const result = { objects_written: written, object_refs_written: written, branch };
  const snapshot = {
    jobs: [
      job("j1", good, "done", { result }),
      job("j2", waiting, "pending"),
      job("j3", bad, "failed", { code: "digest-mismatch" }),
    ],
    packs: [{
      mpackId: 1,
      repoId,
      mpackKey,
      blobKey: "b",
      etag: "e",
      sizeBytes: good.bytes.length,
      counts,
    }],
    refs: rows.map((row) => [repoId, row.objectId, 1, row.contentOffset, row.sizeBytes]),
    objects: rows.map((
      row,
    ) => [row.objectId, `mpack://${mpackKey}`, row.contentOffset, row.sizeBytes]),
    commits: good.commitIds.map((id) => [repoId, id, 1]),
    graph: good.commitIds.map((id, i) => [repoId, id, i + 1, good.commitIds.slice(0, i).slice(-1)]),
    heads: [[repoId, "main", head]],
    staged: ["j2"],
    endedTwice: [],
  } as unknown as Snapshot;
  const pushed = {
    packs: new Map(packs.map((pack) => [nameOf(pack), pack])),
    jobIds: new Set(["j1", "j2", "j3"]),
    cancelled: new Set<string>(),
  };
  return { snapshot, pushed };
}

Deno.test("problemsAt() finds nothing where everything is well", () => {
  const { snapshot, pushed } = cleanScene();
  assert.deepEqual(problemsAt(snapshot, pushed), []);
});

Deno.test("problemsAt() finds what must not happen", async (t) => {
  // deno-lint-ignore no-explicit-any
  const faults: Record<string, [RegExp, (snapshot: any) => void]> = {
    "a job that is lost": [/is lost/, ({ jobs }) => jobs.splice(1, 1)],
    "a bad pack that is done": [/had to fail/, ({ jobs }) => jobs[2].status = "done"],
    "a good pack that failed": [/had to succeed/, ({ jobs }) => jobs[1].status = "failed"],
    "another code": [/had to digest-mismatch/, ({ jobs }) => jobs[2].code = "truncated"],
    "a job cancelled without a request": [
      /without a request/,
      ({ jobs }) => jobs[1].status = "cancelled",
    ],
    "an unexpected error": [/unexpected error/, ({ jobs }) => jobs[1].code = "internal"],
    "a job that ended twice": [/more than once/, (snapshot) => snapshot.endedTwice = ["j1"]],
    "staged rows of a job that ended": [/staged for/, (snapshot) => snapshot.staged = ["j1"]],
    "staged rows of no job": [/staged for/, (snapshot) => snapshot.staged = ["j9"]],
    "rows of a job that is not done": [/no job of it/, ({ jobs }) => jobs[0].status = "running"],
    "a job that is done with no pack": [/not visible/, (snapshot) => snapshot.packs = []],
    "another version of the blob": [/etag is/, ({ packs }) => packs[0].etag = "f"],
    "a ref too few": [/ref .* is missing/, ({ refs }) => refs.pop()],
    "a ref too many": [/was not proved/, ({ refs }) => refs.push(["r", "x", 1, 1, 1])],
    "a ref of another repo": [/was not proved/, ({ refs }) => refs[0][0] = "s"],
    "an offset off by one": [/where it is not/, ({ refs }) => refs[0][3]++],
    "an object too few": [/object .* is missing/, ({ objects }) => objects.pop()],
    "an object of a bad pack": [
      /object .* was not proved/,
      ({ objects }) => objects.push(["x", "mpack://y", 1, 1]),
    ],
    "an object that no job counted": [/come to/, ({ jobs }) => jobs[1].objectsWritten = 1],
    "a size off by one": [/where it is not/, ({ objects }) => objects[0][3]++],
    "a commit too few": [/commit .* is missing/, ({ commits }) => commits.pop()],
    "a commit of a pack that waits": [/does not have it/, ({ commits }) => commits[0][2] = 2],
    "a commit that is in no graph": [/not in the graph/, ({ graph }) => graph.pop()],
    "a wrong generation": [/has generation/, ({ graph }) => graph[1][2]++],
    "a branch that no job has moved": [
      /where no job has moved it/,
      ({ jobs }) => jobs[0].result.branch.moved = false,
    ],
    "a branch that has not moved": [/has moved and is gone/, ({ heads }) => heads.pop()],
    "a head that is not connected": [
      /ancestor of which is missing/,
      ({ graph }) => graph.at(-1)[2] = null,
    ],
    "a row that was counted twice": [/come to/, ({ jobs }) => jobs[0].result.objects_written++],
  };
  for (const [name, [expected, spoil]] of Object.entries(faults)) {
    await t.step(name, () => {
      const { snapshot, pushed } = cleanScene();
      spoil(snapshot);
      assert.match(problemsAt(snapshot, pushed).join("\n"), expected);
    });
  }
});

Deno.test("problemsInTheEnd() finds a job that never ends", () => {
  const { snapshot, pushed } = cleanScene();
  assert.match(problemsInTheEnd(snapshot, pushed).join("\n"), /j2 is pending without end/);
});

Deno.test("the same seed makes the same packs and the same faults", () => {
  const all = () => true;
  assert.deepEqual(packsOf(7, 20, all), packsOf(7, 20, all));
  const draw = () => {
    const tally = new Tally(), random = new Random(7);
    const store = new StoreFaults(tally, () => 1_000), statements = new StatementFaults(tally);
    for (let i = 0; i < 20; i++) {
      store.arm(random);
      statements.arm(random);
    }
    const request = { method: "GET", target: "/b/mpacks/r/k", headers: new Headers() };
    return Array.from({ length: 40 }, () => store.next(request));
  };
  assert.deepEqual(draw(), draw());
  assert.equal(new Set(draw().map((fault) => JSON.stringify(fault))).size > 8, true);
});

Deno.test("the simulator's packs go on from one another's commits", () => {
  const parents = new Set(
    packsOf(3, 60, ({ commitIds }) => commitIds.length > 0)
      .flatMap(({ bytes }) =>
        (decode(bytes) as { commits: Record<string, string>[] }).commits
          .flatMap((commit) => [commit.parent_commit_id, commit.parent2_commit_id])
      ),
  );
  assert(parents.size > 30, `${parents.size} parents`);
});

Deno.test("the simulator makes good packs, and bad ones of every kind", () => {
  const packs = packsOf(3, 150, () => true);
  const codes = new Set(packs.map(({ rejection }) => rejection));
  for (
    const code of [
      undefined,
      "truncated",
      "digest-mismatch",
      "trailing-bytes",
      "malformed-msgpack",
      "duplicate-key",
      "declared-count-mismatch",
    ]
  ) assert(codes.has(code), `${code} among ${[...codes]}`);
});
