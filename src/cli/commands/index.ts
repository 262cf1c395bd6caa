/**
 * `main.ts index SOURCE --repo OWNER/SLUG`: one pack, uploaded if need be, indexed as a job.
 *
 * @module
 */

import type { Command } from "commander";
import { blobKeyOf, type Config } from "../../config/config.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { ConfigError, InvalidMpackError } from "../../errors.ts";
import { isMpackKey } from "../../lib/ids.ts";
import type { IndexPayload } from "../../jobs/index/payload.ts";
import { indexMpack } from "../../jobs/index/index_mpack.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { statIfPresent } from "../../stream/store/stat_if_present.ts";
import { parseCount } from "../flags.ts";
import { jobPermissions, requirePermissions } from "../permissions.ts";
import type { CommandContext } from "../command.ts";
import { openSource, type Source, uploadSource } from "../source.ts";
import { formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";
import { isGoneWorker, openBlobStore, openDatabase, workerName } from "../resources.ts";

const LABELS = { open: "waiting", stream: "index", publish: "publish" } as const;

/** Flags of every command that is given a pack. */
export interface PackFlags {
  /** `OWNER/SLUG`. */
  readonly repo: string;
  /** Whether to make the repo. */
  readonly create?: boolean;
  /** The key that the source must have. */
  readonly expect?: string;
  /** Whether to write the blob again. */
  readonly upload?: boolean;
  /** For the payload. */
  readonly branch?: string;
  /** For the payload. */
  readonly head?: string;
  /** For the payload. */
  readonly declaredObjects?: string;
  /** Whether each object becomes a blob of its own, too. */
  readonly materialize?: boolean;
}

interface IndexFlags extends PackFlags {
  readonly json?: boolean;
}

/** The argument and options of every command that takes one pack to a repo. */
export function withSourceOptions(command: Command): Command {
  return command
    .argument("<source>", "sha256:<64 hex digits>, s3://bucket/key, or a file")
    .requiredOption("--repo <owner/slug>", "the repo whose objects they become")
    .option("--create", "make the repo if it does not exist (an embedded database always does)")
    .option("--expect <key>", "refuse the source unless it has this mpack key")
    .option("--upload", "write the blob again even if the store has one of this key and size")
    .option("--branch <name>", "kept in the job's payload")
    .option("--head <commit_id>", "kept in the job's payload")
    .option("--declared-objects <count>", "refuse the pack unless it has so many objects")
    .option("--materialize", "also write every object as a blob of its own (MPACK_OBJECT_KEY)");
}

/** Adds the command. */
export function addIndexCommand(program: Command, context: CommandContext): void {
  withSourceOptions(program.command("index"))
    .summary("index one mpack")
    .description(
      "Index one mpack: stream it once, prove its digest, make its objects known to a repo.\n\n" +
        "SOURCE is an mpack key (sha256:…) whose blob is in the store, s3://bucket/key, or a file;\n" +
        "what is not in the store under its key is first put there.",
    )
    .option("--json", "print the result, or the error, as one JSON document")
    .action((source: string, flags: IndexFlags) =>
      context.run(flags, async (signal) => {
        const result = await runIndex(source, flags, context.config(), signal);
        if (flags.json) console.log(JSON.stringify(result));
        else console.log(summary(result));
      })
    );
}

/** Does what the command does and returns the result. */
export async function runIndex(
  text: string,
  flags: IndexFlags,
  config: Config,
  signal: AbortSignal,
): Promise<IndexResult> {
  const payload = indexPayload(flags);
  const line = new LiveLine();
  try {
    requirePermissions(jobPermissions());
    const store = await openBlobStore(config, { isWriting: true });
    await using opened = await openDatabase(config);
    const { db, isEmbedded } = opened;
    const repo = await resolveRepo(db, parseRepoName(flags.repo), {
      create: flags.create || isEmbedded,
    });
    await using source = await openSource(text, config, { signal, line });
    const isNew = await putInStore(source, {
      store,
      repoId: repo.repoId,
      flags,
      config,
      signal,
      line,
    });
    const indexOnce = () =>
      indexMpack({
        db,
        store,
        config,
        signal,
        payload,
        repoId: repo.repoId,
        mpackKey: source.mpackKey,
        worker: workerName(),
        isGone: isGoneWorker,
        onProgress: ({ phase, bytes, sizeBytes, objects }) =>
          line.show({
            label: LABELS[phase],
            bytes,
            sizeBytes,
            note: `${formatCount(objects)} objects`,
          }),
        onStartOver: (reason) => console.error(`Starting over: ${reason}`),
      });
    const index = async () => {
      const result = await indexOnce();
      // The job found may have been somebody else's, who did not ask for blobs.
      return flags.materialize && !result.materialized ? await indexOnce() : result;
    };
    try {
      return await index();
    } catch (error) {
      const isDamaged = error instanceof InvalidMpackError && source.body !== undefined && !isNew;
      if (!isDamaged) throw error;
      // The store had a blob of this key and size, and it was not this source. Now it is.
      await uploadSource(source, store, blobKey(config, repo.repoId, source), { signal, line });
      return await index();
    }
  } finally {
    line.clear();
  }
}

function blobKey(config: Config, repoId: string, { mpackKey }: Source): string {
  return blobKeyOf(config.blobKey, repoId, mpackKey);
}

/**
 * What the flags put into a job's payload.
 *
 * @throws {ConfigError} If one of them is not what it should be.
 */
export function indexPayload(flags: PackFlags): Omit<IndexPayload, "mpack_key"> {
  const { expect, branch, head, declaredObjects, materialize } = flags;
  if (expect !== undefined && !isMpackKey(expect)) {
    throw new ConfigError(`Cannot use --expect ${expect}: it is not sha256:<64 hex digits>`);
  }
  return {
    ...(branch === undefined ? {} : { branch }),
    ...(head === undefined ? {} : { head }),
    ...(declaredObjects === undefined
      ? {}
      : { declared_objects_count: parseCount("--declared-objects", declaredObjects) }),
    ...(materialize ? { materialize: true } : {}),
  };
}

/** Where a source's bytes go, and how. */
export interface PutOptions {
  /** The store. */
  readonly store: BlobStore;
  /** Whose blob it becomes. */
  readonly repoId: string;
  /** `expect` and `upload` count. */
  readonly flags: PackFlags;
  /** The settings. */
  readonly config: Config;
  /** Ends the upload. */
  readonly signal: AbortSignal;
  /** Where to show how far it is. */
  readonly line: LiveLine;
}

/**
 * Puts a source that has bytes into the store, unless they are there.
 *
 * @returns Whether it did.
 * @throws {InvalidMpackError} If `--expect` names another key.
 */
export async function putInStore(
  source: Source,
  { store, repoId, flags, config, signal, line }: PutOptions,
): Promise<boolean> {
  if (flags.expect !== undefined && source.mpackKey !== flags.expect) {
    throw new InvalidMpackError(
      "digest-mismatch",
      `Cannot accept the source: its key is ${source.mpackKey}, expected ${flags.expect}`,
    );
  }
  if (source.body === undefined) return false;
  const key = blobKey(config, repoId, source);
  const there = flags.upload ? undefined : await statIfPresent(store, key, { signal });
  if (there?.sizeBytes === source.sizeBytes) return false;
  await uploadSource(source, store, key, { signal, line });
  return true;
}

function summary(result: IndexResult): string {
  const { phases_ms, elapsed_ms, size_bytes } = result;
  const speed = elapsed_ms > 0 ? ` (${(size_bytes / elapsed_ms / 1000).toFixed(1)} MB/s)` : "";
  const { materialized } = result;
  const blobs = materialized
    ? `\n  blobs       ${formatCount(materialized.written)} written, ${
      formatCount(materialized.existing)
    } there already, ${formatCount(materialized.mismatched)} left out: content and id do not match`
    : "";
  const resumed = result.resumed_from_byte > 0
    ? `\n  resumed     from byte ${formatCount(result.resumed_from_byte)}`
    : "";
  return `Indexed ${result.mpack_key}
  size        ${formatBytes(size_bytes)} in ${formatMs(elapsed_ms)}${speed}
  objects     ${formatCount(result.objects_total)}: ${formatCount(result.objects_written)} new, ${
    formatCount(result.object_refs_written)
  } refs new, ${formatCount(result.duplicate_objects)} twice in the pack
  history     ${formatCount(result.commits)} commits, ${formatCount(result.snapshots)} snapshots, ${
    formatCount(result.tags)
  } tags
  phases      open ${formatMs(phases_ms.open)}, stream ${formatMs(phases_ms.stream)}, publish ${
    formatMs(phases_ms.publish)
  }${blobs}${resumed}
  job         ${result.job_id}`;
}
