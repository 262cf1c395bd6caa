/**
 * Says what an index of a pack would do, by reading it, the repo and the store. Nothing is written.
 *
 * @module
 */

import { counted, grouped } from "../../lib/numbers.ts";
import { limitsOf } from "../../config/config.ts";
import type { Config } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import type { Database } from "../../db/client/database.ts";
import { findMpack } from "../../db/packs.ts";
import { GhostGuard } from "../../db/publish/ghost_guard.ts";
import { quotaError } from "../../db/quotas/quota.ts";
import { listUsage, type Tenant } from "../../db/quotas/quotas.ts";
import { InvalidMpackError } from "../../errors.ts";
import { recordHasher } from "../../hash/record_hash.ts";
import { openSha256 } from "../../hash/sha256.ts";
import { trimHeap } from "../../lib/heap.ts";
import { withPrefix } from "../../lib/ids.ts";
import { objectIdsOf } from "../../lib/object_columns.ts";
import { packWarnings } from "../../lib/text/pack_warnings.ts";
import { filterMissing } from "../../objects/ghosts.ts";
import { DeltaVerifier } from "../../stream/mpack/history/delta_verifier.ts";
import { MpackDecoder } from "../../stream/mpack/mpack_decoder.ts";
import type { BlobReader, BlobStore } from "../../stream/store/blob_store.ts";
import { HistoryCheck } from "../history/history_check.ts";
import { type BranchReport, decideBranch } from "../history/move_branch.ts";
import type { IndexPayload } from "../index/payload.ts";

/** What an index would do. snake_case, because it is printed as JSON. */
export interface IndexPreview {
  readonly dry_run: true;
  readonly mpack_key: string;
  readonly size_bytes: number;
  /** Whether the repo has the pack already: nothing would change, but for branches. */
  readonly already_indexed: boolean;
  readonly objects_total: number;
  /** Objects that the repo lacks. One that comes twice in the pack may be counted twice. */
  readonly objects_new: number;
  readonly commits: number;
  readonly snapshots: number;
  readonly tags: number;
  /** What would become of the branch that the payload names, and of those that the pack names. */
  readonly branches: readonly BranchReport[];
  readonly warnings: readonly string[];
}

/** Which pack, and where it would go. */
export interface PreviewOptions {
  readonly db: Database;
  readonly store: BlobStore;
  readonly config: Config;
  /** The repo, or `""` for one that would be created. */
  readonly repoId: string;
  /** The owner of the repo, whose quota counts. */
  readonly owner: string;
  readonly reader: BlobReader;
  /** The key that the bytes must have, if any. */
  readonly mpackKey?: string;
  readonly payload: Omit<IndexPayload, "mpack_key">;
  /** Whether the branches that the pack names would be moved, too. */
  readonly branches: boolean;
  /** Whether these branches may lose commits. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number, sizeBytes: number) => void;
}

/**
 * Reads a pack as an index does, and compares it with the repo as it is now.
 *
 * @throws {InvalidMpackError} With the code of an index that would fail.
 * @throws {QuotaError} If a quota would not allow it.
 */
export async function previewIndex(options: PreviewOptions): Promise<IndexPreview> {
  const { db, repoId, payload } = options, check = new HistoryCheck(db, repoId);
  await using guard = new GhostGuard({ db, repoId });
  const read = await readPack(options, check, guard), { counts } = read;
  const { declared_objects_count: declared } = payload;
  if (declared !== undefined && declared !== null && declared !== counts.objects) {
    throw new InvalidMpackError(
      "declared-count-mismatch",
      `Cannot accept the pack: ${
        counted(declared, "object was", "objects were")
      } declared, it has ${grouped(counts.objects)}`,
    );
  }
  await check.settle();
  await check.settleCut();
  const isKnown = await findMpack(db, { repoId, mpackKey: read.mpackKey }) !== undefined;
  if (!isKnown) await requireQuota(options, { ...read, objects: counts.objects });
  const ghosts = payload.branch === undefined ? 0 : (await guard.ghosts()).count;
  const problem = ghosts === 0 ? undefined : {
    code: "ghost-objects" as const,
    message: `its snapshots name ${
      counted(ghosts, "id that is", "ids that are")
    } neither in it nor in the repo`,
  };
  const asked = [
    ...(payload.branch === undefined ? [] : [{
      request: {
        name: payload.branch,
        force: payload.force === true,
        isStrict: false,
        ...(payload.head !== undefined && { head: payload.head }),
      },
      problem,
    }]),
    ...read.heads.map(([name, head]) => ({
      request: { name, head, force: options.force, isStrict: false },
      problem: undefined,
    })),
  ];
  const branches: BranchReport[] = [];
  for (const { request, problem } of asked) {
    const question = { db, repoId, request, check, ...(problem && { problem }) };
    branches.push((await decideBranch(question)).report);
  }
  return {
    dry_run: true,
    mpack_key: read.mpackKey,
    size_bytes: read.sizeBytes,
    already_indexed: isKnown,
    objects_total: counts.objects,
    objects_new: read.newObjects,
    commits: counts.commits,
    snapshots: counts.snapshots,
    tags: counts.tags,
    branches,
    warnings: packWarnings(counts),
  };
}

async function readPack(options: PreviewOptions, check: HistoryCheck, guard: GhostGuard) {
  const { db, store, config, repoId, reader, payload, signal, onProgress } = options;
  const limits = limitsOf(config), hasGuard = payload.branch !== undefined;
  const deltas = new DeltaVerifier({
    limits,
    hasher: recordHasher,
    async *load(snapshotId) {
      const { readManifestPages } = await import("../../history/read_manifest.ts");
      yield* readManifestPages({ db, store, repoId, snapshotId });
    },
  });
  const decoder = new MpackDecoder({
    limits,
    history: recordHasher,
    hooks: {
      snapshot: (...snapshot) => deltas.snapshot(...snapshot),
      ...(hasGuard && { manifestId: (id: string) => guard.name(id) }),
    },
  });
  using hasher = await openSha256({ engine: "native", worker: false });
  const heads: [name: string, head: string][] = [];
  let newObjects = 0;
  for (;;) {
    signal.throwIfAborted();
    const buffer = await hasher.borrow(), bytes = await reader.read(buffer);
    if (bytes === 0) break;
    decoder.write(buffer.subarray(0, bytes));
    const objectIds = objectIdsOf(decoder.take()), records = decoder.takeRecords();
    hasher.update(buffer, bytes);
    if (hasGuard) guard.hold(objectIds);
    newObjects += (await filterMissing({ db, repoId, objectIds })).length;
    await check.add(records);
    if (options.branches) {
      heads.push(...records.branchHeads.map(({ name, commitId }): [string, string] => [
        name,
        commitId,
      ]));
    }
    await deltas.drain();
    if (guard.isDue) {
      await guard.flush();
      trimHeap();
    }
    onProgress(hasher.bytesHashed, reader.stat.sizeBytes);
  }
  decoder.end();
  await deltas.drain();
  const { bytesHashed: sizeBytes } = hasher, mpackKey = withPrefix(await hasher.digest());
  if (options.mpackKey !== undefined && options.mpackKey !== mpackKey) {
    throw new InvalidMpackError(
      "digest-mismatch",
      `Cannot accept the pack: its bytes have the key ${mpackKey}, not ${options.mpackKey}`,
    );
  }
  return { mpackKey, sizeBytes, counts: decoder.counts, heads, newObjects };
}

/** @throws {QuotaError} If the pack would be over a quota, as far as its tenants are counted. */
async function requireQuota(
  { db, repoId, owner, config }: PreviewOptions,
  { sizeBytes, objects }: { readonly sizeBytes: number; readonly objects: number },
): Promise<void> {
  const tenants: Tenant[] = [{ kind: "owner", name: owner }, { kind: "repo", name: repoId }];
  const asked = { bytes: sizeBytes, objects, packs: 1 };
  for (const tenant of tenants) {
    const [usage] = await listUsage(db, { defaults: quotaDefaultsOf(config), tenant });
    if (usage === undefined) continue;
    for (const what of ["bytes", "objects", "packs"] as const) {
      const limit = usage.limits[what], used = usage.used[what];
      if (limit === null || used + asked[what] <= limit) continue;
      throw quotaError({ of: tenant.kind, what, used, limit, asked: asked[what] });
    }
  }
}
