/**
 * `mpackd index SOURCE… --repo OWNER/SLUG`: stores mpacks if need be, and indexes them as jobs.
 *
 * @module
 */

import type { Command } from "commander";
import { blobKeyOf, type Config } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { admitPush } from "../../db/quotas/admit_push.ts";
import { makeCollectable } from "../../db/packs.ts";
import type { Database } from "../../db/client/database.ts";
import { CancelledError, ConfigError, InvalidMpackError } from "../../errors.ts";
import type { IndexProgress } from "../../jobs/index/context.ts";
import type { BranchReport } from "../../jobs/history/move_branch.ts";
import type { IndexPayload } from "../../jobs/index/payload.ts";
import type { BlobReader, BlobStore } from "../../stream/store/blob_store.ts";
import { indexMpack } from "../../jobs/index/index_mpack.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import type { CommandContext } from "../command.ts";
import { eachSource, sourceMember } from "../each_source.ts";
import { checkSources, indexPayload, type MpackFlags, withMpackOptions } from "../mpack_options.ts";
import {
  isKey,
  openOnce,
  openSource,
  putSource,
  requireSources,
  type SourceOptions,
  uploadSource,
} from "../mpack_source.ts";
import { warningText } from "../../lib/text/pack_warnings.ts";
import { oneLine } from "../history/commit_text.ts";
import { isShortKey, mpackKeyOf } from "../named_ids.ts";
import { print, printJson, tell } from "../output.ts";
import { jobPermissions, requirePermissions } from "../permissions.ts";
import { openRepoToWrite } from "../shards/open_repo.ts";
import { openResources, type Resources } from "../resources.ts";
import { counted, formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";
import { isGoneWorker, workerName } from "../worker_name.ts";

const LABELS = { open: "waiting", stream: "index", publish: "publish" } as const;

/** The length of a chunk on its way to decoder, hasher and store. */
const CHUNK_BYTES = 256 * 1024;

interface IndexFlags extends MpackFlags {
  readonly collectable?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addIndexCommand(program: Command, context: CommandContext): void {
  withMpackOptions(program.command("index"))
    .summary("index mpacks")
    .description(
      "Index mpacks, one after another: read each once, prove its digest, and make its objects " +
        "readable in a repo.\n\n" +
        "SOURCE is an mpack key (sha256:…) whose blob is in the store, s3://bucket/key, a file, or " +
        "- for stdin. Other bytes than those of a key are stored in the same reading. Interrupted, a key " +
        "resumes; the others leave nothing and start over.",
    )
    .option("--branches", "also move all branches that the pack names, as a bundle does")
    .option(
      "--collectable",
      "let gc remove what no branch or tag reaches of it, as of a push (default: only with --branch)",
    )
    .option("--json", "print the result or the error as one JSON document")
    .action((sources: string[], flags: IndexFlags) =>
      context.run(flags, (signal) => runIndex(sources, flags, context.config(), signal))
    );
}

/** The result, with what became of the branches that the pack names. */
type IndexedResult = IndexResult & { readonly branches?: readonly BranchReport[] };

async function runIndex(
  sources: readonly string[],
  flags: IndexFlags,
  config: Config,
  signal: AbortSignal,
): Promise<number> {
  const payload = indexPayload(flags);
  checkSources(sources, flags);
  await requireSources(sources);
  if (flags.dryRun) {
    // Loaded here, because most calls need none of it before the first word.
    const { previewSources } = await import("../operate/preview.ts");
    return await previewSources("index", sources, flags, { config, signal });
  }
  requirePermissions(jobPermissions());
  await using resources = await openResources(config, { isWriting: true });
  const { repoId, db, store } = await openRepoToWrite(resources, flags.repo, {
    create: flags.create || resources.isEmbedded,
    config,
  });
  const place = { resources: { ...resources, db, store }, repoId, payload, config, signal };
  return await eachSource(sources, flags, async (source) => {
    const result = await indexOne(source, flags, place);
    if (flags.json) await printJson({ ...sourceMember(sources, source), ...result });
    else await print(summary(result));
  });
}

/** Where to index. */
interface IndexPlace {
  readonly resources: Resources;
  readonly repoId: string;
  readonly payload: Omit<IndexPayload, "mpack_key">;
  readonly config: Config;
  readonly signal: AbortSignal;
}

async function indexOne(
  given: string,
  flags: IndexFlags,
  { resources, repoId, payload, config, signal }: IndexPlace,
): Promise<IndexedResult> {
  const { db, store } = resources, line = new LiveLine();
  try {
    const text = await isShortKey(given) ? await mpackKeyOf(db, repoId, given) : given;
    const { expect, upload, force = false } = flags;
    const withBranches = async (result: IndexResult): Promise<IndexedResult> => {
      if (flags.collectable) await letCollect(db, repoId, result);
      if (!flags.branches) return result;
      const blobKey = blobKeyOf(config.blobKey, repoId, result.mpack_key);
      await using reader = await store.open(blobKey, { signal });
      // Loaded here, because most calls need none of it before the first word.
      const { readBranchHeads } = await import("../../history/read_branch_heads.ts");
      const { setBranches } = await import("../../jobs/history/set_branches.ts");
      const heads = await readBranchHeads(reader);
      return { ...result, branches: await setBranches({ db, repoId, heads, force }) };
    };
    const materializes = flags.materialize ?? config.materialize === "on";
    if (!isKey(text) && !upload && !materializes) {
      const options = { ...resources, config, repoId, payload, expect, signal, line };
      return await withBranches(await indexUnnamed(text, options));
    }
    await using source = await openSource(text, config, { signal, line });
    const { mpackKey } = source;
    const blobKey = blobKeyOf(config.blobKey, repoId, mpackKey);
    const put = { store, blobKey, expect, upload, signal, line };
    // Before it is stored. For what is in the store, indexMpack() asks the same.
    if (source.body !== undefined) {
      const { sizeBytes } = source;
      await admitPush(db, { repoId, mpackKey, ...(sizeBytes > 0 && { sizeBytes }) }, {
        defaults: quotaDefaultsOf(config),
        isPush: false,
      });
    }
    const isNew = await putSource(source, put);
    const indexOnce = () =>
      indexMpack({
        db,
        store,
        config,
        signal,
        payload,
        repoId,
        mpackKey,
        worker: workerName(config.home),
        isGone: (worker) => isGoneWorker(worker, config.home),
        onProgress: (progress) => showProgress(line, progress),
        onStartOver: (reason) => tell(`Starting over: ${reason}`),
      });
    const index = async () => {
      const result = await indexOnce();
      // An open job for the same mpack may not have asked for materialized objects.
      return flags.materialize && !result.materialized ? await indexOnce() : result;
    };
    let result: IndexResult;
    try {
      result = await index();
    } catch (error) {
      // The blob that was in the store had the source's key and size, but other bytes: replace it.
      const isDamaged = error instanceof InvalidMpackError && source.body !== undefined && !isNew;
      if (!isDamaged) throw error;
      await uploadSource(source, put);
      result = await index();
    }
    return await withBranches(result);
  } finally {
    line.clear();
  }
}

/** @throws {ConfigError} If it has records that cannot be read: what they name must be kept. */
async function letCollect(
  db: Database,
  repoId: string,
  { mpack_key: mpackKey, records_unverified: unread }: IndexResult,
): Promise<void> {
  if (unread) {
    throw new ConfigError(
      `Cannot make ${mpackKey} collectable: ${
        counted(unread, "snapshot")
      } in it of an unknown form ` +
        "may name objects that nothing else does; it is indexed, and all of it is kept",
    );
  }
  const others = await makeCollectable(db, { repoId, mpackKey });
  const rest = others === 0
    ? "gc now removes what no branch or tag of the repo reaches, once it is older than its grace time"
    : `gc removes nothing of the repo's history while ${counted(others, "other mpack")} of it ` +
      (others === 1 ? "is not" : "are not");
  tell(`Made ${mpackKey} collectable: ${rest}`);
}

/** What a source without a known key is indexed with. */
interface UnnamedOptions extends SourceOptions {
  readonly db: Database;
  readonly store: BlobStore;
  readonly config: Config;
  readonly repoId: string;
  readonly payload: Omit<IndexPayload, "mpack_key">;
  readonly expect?: string;
}

/** Stores, hashes, decodes and stages the bytes in one reading; their key is known at its end. */
async function indexUnnamed(text: string, options: UnnamedOptions): Promise<IndexResult> {
  const { config, expect, signal, line } = options;
  // A key needs none of it, and loading it takes time before the first word.
  const { pushMpack } = await import("../../jobs/index/push_mpack.ts");
  await using source = await openOnce(text, config, { signal });
  // A pipe has no length.
  const { sizeBytes } = source.stat;
  return await pushMpack({
    ...options,
    ...(expect === undefined ? {} : { mpackKey: expect }),
    ...(sizeBytes === 0 ? {} : { sizeBytes }),
    body: chunksOf(source, signal),
    allowsGhosts: true,
    worker: workerName(config.home),
    onProgress: (progress) => showProgress(line, progress),
  });
}

/** The bytes in chunks that share one buffer. */
async function* chunksOf(source: BlobReader, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    if (signal.aborted) {
      throw new CancelledError("Interrupted: nothing is visible, nothing is stored");
    }
    const bytes = await source.read(buffer);
    if (bytes === 0) return;
    yield buffer.subarray(0, bytes);
  }
}

function showProgress(line: LiveLine, progress: IndexProgress): void {
  const { phase, bytes, sizeBytes, objects } = progress;
  line.show({ label: LABELS[phase], bytes, sizeBytes, note: counted(objects, "object") });
}

/** What became of the branch. */
function branchLine({ name, head, moved, message }: BranchReport): string {
  if (moved) return `${name} moved to ${head}`;
  return message === undefined ? `${name} is at ${head} already` : `${name} stays: ${message}`;
}

function summary(result: IndexedResult): string {
  const { phases_ms, elapsed_ms, size_bytes, materialized } = result;
  const speed = elapsed_ms > 0 ? ` (${(size_bytes / elapsed_ms / 1000).toFixed(1)} MB/s)` : "";
  const count = formatCount;
  const lines = [
    `Indexed ${result.mpack_key}`,
    `  size        ${formatBytes(size_bytes)} in ${formatMs(elapsed_ms)}${speed}`,
    `  objects     ${count(result.objects_total)}: ${count(result.objects_written)} new, ` +
    `${counted(result.object_refs_written, "ref")} new, ` +
    counted(result.duplicate_objects, "duplicate"),
    `  history     ${counted(result.commits, "commit")}, ${
      counted(result.snapshots, "snapshot")
    }, ` +
    counted(result.tags, "tag"),
    `  phases      open ${formatMs(phases_ms.open)}, stream ${formatMs(phases_ms.stream)}, ` +
    `publish ${formatMs(phases_ms.publish)}`,
  ];
  for (const branch of [...(result.branch ? [result.branch] : []), ...result.branches ?? []]) {
    lines.push(`  branch      ${oneLine(branchLine(branch))}`);
  }
  for (const code of result.warnings ?? []) lines.push(`  warning     ${warningText(code)}`);
  if (result.records_unverified) {
    lines.push(
      `  left out    ${counted(result.records_unverified, "snapshot")} of an unknown form`,
    );
  }
  if (materialized) {
    lines.push(
      `  blobs       ${count(materialized.written)} written, ${
        count(materialized.existing)
      } there ` +
        `already, ${
          count(materialized.mismatched)
        } skipped because their bytes do not match their id`,
    );
  }
  if (result.resumed_from_byte > 0) {
    lines.push(`  resumed     from byte ${count(result.resumed_from_byte)}`);
  }
  return [...lines, `  job         ${result.job_id}`].join("\n");
}
