/**
 * `deno task bench:history`: a fetch against the same bytes from a bare file server, and the questions
 * of a push and a fetch in a long history.
 *
 * `serve` and the bare server are processes of their own, and asked in turns, so that a busy machine
 * slows them alike.
 *
 * @module
 */

import { Command } from "commander";
import { loadConfig } from "../src/config/config.ts";
import { connectDatabase } from "../src/db/client/connect.ts";
import { isAncestor } from "../src/db/history/graph.ts";
import { openEmbedded } from "../src/db/embedded/open_embedded.ts";
import { createRepo } from "../src/db/repos.ts";
import { migrate } from "../src/db/schema/migrate.ts";
import { planFetch, writeFetch } from "../src/history/fetch.ts";
import { CommitGraph } from "../src/jobs/history/commit_graph.ts";
import { indexMpack } from "../src/jobs/index/index_mpack.ts";
import { openFileStore } from "../src/stream/store/folder/folder_store.ts";
import { repack } from "../src/maintenance/repack/repack.ts";
import { DEFAULT_LIMITS } from "../src/stream/mpack/limits.ts";
import { makeGraph, seeded } from "../tests/support/history/random_graph.ts";
import { MadeHistory } from "../tests/support/history/make_history.ts";
import { startApi, startBare } from "./http/servers.ts";

const { rounds, commits, questions, json } = new Command("bench_history")
  .option("--rounds <n>", "how often each document is fetched", Number, 9)
  .option("--commits <n>", "commits of the long history", Number, 200_000)
  .option("--questions <n>", "questions of each kind", Number, 300)
  .option("--json", "print the figures as one JSON document", false)
  .parse(Deno.args, { from: "user" })
  .opts<{ rounds: number; commits: number; questions: number; json: boolean }>();

const FETCHED_COMMITS = 500, PACKS = 10, FILES = 200, FILE_BYTES = 20_000;
const ROWS = 5_000, HAVE_IDS = 64;

const folder = await Deno.makeTempDir({ prefix: "mpackd-bench-" });
await Deno.chmod(folder, 0o755);
await using resources = new AsyncDisposableStack();
resources.defer(() => Deno.remove(folder, { recursive: true }));
const server = await openEmbedded({ dataDir: `${folder}/pg` });
resources.defer(() => server.close());
const db = connectDatabase(server.url, { maxConnections: 4 });
resources.defer(() => db.close());
await migrate(db);
const blobs = `${folder}/blobs`, store = openFileStore(blobs);

/** A history of five or six changed files a commit, pushed in ten packs. */
async function pushHistory(): Promise<{ repoId: string; head: string }> {
  const { repo: { repoId } } = await createRepo(db, {
    owner: "bench",
    slug: "fetch",
    visibility: "public",
  });
  const history = new MadeHistory(), random = seeded(1);
  const files: Record<string, Uint8Array> = {};
  const content = () => {
    const bytes = new Uint8Array(FILE_BYTES);
    for (let i = 0; i < FILE_BYTES; i += 4) bytes[i] = random() * 256;
    return bytes;
  };
  for (let i = 0; i < FILES; i++) files[`src/folder ${i % 20}/file ${i}.txt`] = content();
  const paths = Object.keys(files);
  // Clients sort their manifests.
  const sorted = () => Object.fromEntries(Object.entries(files).sort(([a], [b]) => a < b ? -1 : 1));
  const perPack = FETCHED_COMMITS / PACKS, sent = new Set<string>();
  let made: string[] = [], head = "";
  for (let i = 0; i < FETCHED_COMMITS; i++) {
    for (let n = 0; n < 5; n++) files[paths[Math.floor(random() * FILES)]] = content();
    made.push(head = history.commit({ files: sorted() }));
    if (made.length < perPack) continue;
    const objects = history.objectsOf(made).filter((id) => !sent.has(id));
    for (const id of objects) sent.add(id);
    const { bytes, mpackKey } = history.pack({ commits: made, objects });
    await store.put(`mpacks/${repoId}/${mpackKey}`, ReadableStream.from([bytes]));
    await indexMpack({ db, store, repoId, mpackKey, payload: { branch: "main" } });
    made = [];
  }
  return { repoId, head };
}

/** Writes only the rows of a long history: the questions read nothing else. */
async function writeGraph(): Promise<{ repoId: string; ids: string[] }> {
  const { repo: { repoId } } = await createRepo(db, {
    owner: "bench",
    slug: "long",
    visibility: "public",
  });
  const graph = new CommitGraph(), ids: string[] = [];
  for (const commit of makeGraph(commits, seeded(2))) {
    graph.addCommit({ ...commit, offsetBytes: ids.length });
    ids.push(commit.commitId);
  }
  await graph.number();
  for (const rows of graph.rows(ROWS)) {
    await db.sql`insert into musehub_commit_graph
      (repo_id, commit_id, parent_ids, generation, depth, jump_id)
      select ${repoId}, r.* from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as r(
        commit_id text, parent_ids text[], generation integer, depth integer, jump_id text)
      order by commit_id collate "C"`;
  }
  await db.sql`vacuum analyze musehub_commit_graph`;
  return { repoId, ids };
}

async function secondsOf(
  url: string,
  init?: RequestInit,
): Promise<{ seconds: number; bytes: number }> {
  const startedAt = performance.now();
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  let bytes = 0;
  for await (const chunk of response.body!) bytes += chunk.length;
  return { seconds: (performance.now() - startedAt) / 1000, bytes };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

async function timed(count: number, ask: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedAt = performance.now();
    await ask();
    times.push(performance.now() - startedAt);
  }
  return times;
}

const { repoId, head } = await pushHistory();
const branches = [{ name: "main", headCommitId: head }];
const plan = () => planFetch({ db, store, repoId, want: [head], have: [], maxBytes: 1e9 });
await Deno.writeFile(
  `${folder}/document`,
  ReadableStream.from(writeFetch(await plan(), branches)),
);
const env = {
  DATABASE_URL: server.url,
  MPACK_STORE: `file://${blobs}`,
  MPACK_HTTP_REQUESTS_PER_MINUTE: "100000000",
};
const api = resources.use(await startApi(env));
const bareServer = resources.use(await startBare([repoId, `${folder}/document`, folder], env));
const ask = (slug: string, route: string, body: unknown) =>
  secondsOf(`${api.url}/bench/${slug}/${route}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
/** Both servers in turns. */
async function contest(): Promise<{ ours: number; bare: number; best: number; bytes: number }> {
  const ours: number[] = [], bare: number[] = [];
  let bytes = 0;
  for (let round = -1; round < rounds; round++) {
    const one = await secondsOf(`${bareServer.url}/file/document`);
    const other = await ask("fetch", "fetch", { want: [head], have: [] });
    bytes = other.bytes;
    if (round < 0) continue;
    bare.push(one.seconds);
    ours.push(other.seconds);
  }
  // Of a busy machine the best rounds of each say more than those in the middle.
  const best = Math.min(...bare) / Math.min(...ours);
  return { ours: quantile(ours, 0.5), bare: quantile(bare, 0.5), best, bytes };
}
const pushed = await contest();
const planMs = quantile(await timed(rounds, () => disposed(plan)), 0.5);

async function disposed(open: () => Promise<AsyncDisposable>): Promise<void> {
  await using _ = await open();
}

const repackedAt = performance.now(), { signal } = new AbortController();
await repack({
  db,
  store,
  config: loadConfig({}),
  limits: DEFAULT_LIMITS,
  repoId,
  maxContentBytes: DEFAULT_LIMITS.maxContentBytes,
  packBytes: 1024 ** 3,
  signal,
});
const repackSeconds = (performance.now() - repackedAt) / 1000, repacked = await contest();
const fetchPeakBytes = await api.peakBytes();

const long = await writeGraph(), random = seeded(3);
const anyId = () => long.ids[Math.floor(random() * long.ids.length)];
const tip = long.ids[long.ids.length - 1];
// A server that has done nothing else, so that its memory is that of these questions.
const questioned = resources.use(await startApi(env));
const negotiated = await timed(
  questions,
  () =>
    secondsOf(`${questioned.url}/bench/long/negotiate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ want: [tip], have: Array.from({ length: HAVE_IDS }, anyId) }),
    }),
);
const negotiatePeakBytes = await questioned.peakBytes();
const asked = await timed(
  questions,
  () => isAncestor(db, { repoId: long.repoId, ancestorId: anyId(), commitIds: [anyId()] }),
);

const figures = {
  document_mb: pushed.bytes / 1e6,
  fetch_s: pushed.ours,
  file_s: pushed.bare,
  fetch_of_file: pushed.bare / pushed.ours,
  fetch_of_file_best: pushed.best,
  repack_s: repackSeconds,
  repacked_fetch_of_file: repacked.bare / repacked.ours,
  repacked_fetch_of_file_best: repacked.best,
  plan_ms: planMs,
  negotiate_ms: [quantile(negotiated, 0.5), quantile(negotiated, 0.99)],
  fast_forward_ms: [quantile(asked, 0.5), quantile(asked, 0.99)],
  fetch_peak_mb: fetchPeakBytes / 1e6,
  negotiate_peak_mb: negotiatePeakBytes / 1e6,
  load: Deno.loadavg()[0],
};
if (json) console.log(JSON.stringify(figures));
else for (const [name, value] of Object.entries(figures)) console.log(name, value);
