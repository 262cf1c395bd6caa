/**
 * `mpackd audit`: hashes stored mpacks and their objects again.
 *
 * @module
 */

import type { Command } from "commander";
import { type Config, limitsOf } from "../../config/config.ts";
import { endAudit } from "../../db/audits.ts";
import type { Database } from "../../db/client/database.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import { ConfigError } from "../../errors.ts";
import { MPACK_AUDIT } from "../../jobs/audit_handler.ts";
import { enqueue } from "../../jobs/queue/enqueue.ts";
import { audit, type AuditFinding, type AuditSummary } from "../../maintenance/audit/audit.ts";
import type { CommandContext } from "../command.ts";
import { EXIT } from "../exit.ts";
import { mpackKeyOf } from "../named_ids.ts";
import { mpackKeyAnywhere, noSuchMpack } from "../shards/find_mpack.ts";
import { print, printJson } from "../output.ts";
import { openDatabase, type OpenedDatabase, openResources } from "../resources.ts";
import { inEachShard, SHARD_OPTION } from "../shards/all_shards.ts";
import { openRepo } from "../shards/open_repo.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { counted, formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";

/** Repair commands in a summary. */
const MOST_REPAIRS = 20;

interface AuditFlags {
  readonly repo?: string;
  readonly mpack?: string;
  readonly shard?: string;
  readonly sample?: string;
  readonly restart?: boolean;
  readonly dryRun?: boolean;
  readonly enqueue?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addAuditCommand(program: Command, context: CommandContext): void {
  program.command("audit").alias("verify")
    .summary("hash stored mpacks and their objects again")
    .description(
      "Read mpacks again, and hash the whole and every object, commit and snapshot. One whose bytes " +
        "do not hash to its id is marked: it cannot be read until it is pushed again. " +
        "A blob whose version has changed is valid if it still hashes to its key, as after a copy of " +
        "the store; its new version is then recorded. After an interruption, the same command continues with the remaining mpacks. " +
        "Exit code 3 if there is a problem.",
    )
    .option("--repo <owner/slug>", "only the mpacks of this repo")
    .option("--mpack <key>", "only the mpacks of this key, or the one whose key begins so")
    .option("--sample <percent>", "only this share of the mpacks, chosen at random: 5%")
    .option("--restart", "check again what an interrupted audit has checked")
    .option("--dry-run", "find damage and say what would be marked, and change nothing")
    .option("--enqueue", "leave it to the workers as an mpack.audit job; needs --repo")
    .option(...SHARD_OPTION)
    .option("--json", "print one JSON document per finding, then one with the summary")
    .action((flags: AuditFlags) =>
      context.run(flags, async (signal) => {
        if (flags.dryRun && (flags.enqueue || flags.restart)) {
          throw new ConfigError("Cannot use --dry-run with --enqueue or --restart");
        }
        if (flags.enqueue) return await enqueueAudit(flags, context.config());
        const summary = await runAudit(flags, context.config(), signal);
        if (flags.json) await printJson({ summary });
        else await print(textOf(summary));
        return summary.is_valid ? EXIT.ok : EXIT.rejected;
      })
    );
}

async function runAudit(
  flags: AuditFlags,
  config: Config,
  signal: AbortSignal,
): Promise<AuditSummary> {
  const samplePercent = percentOf(flags.sample);
  await using resources = await openResources(config, { isWriting: false });
  const { shard, ...scope } = await scopeOf(resources, flags);
  const summaries = await inEachShard(resources, { shard }, async (db, { shard }) => {
    const store = shard === undefined ? resources.store : await resources.storeOf(shard, db);
    return await auditShard({ db, store, samplePercent, ...scope }, flags, config, signal);
  });
  const summary = summaries.reduce(addSummaries);
  const found = summary.mpacks + summary.mpacks_checked_before;
  if (scope.mpack !== undefined && samplePercent === undefined && found === 0) {
    throw noSuchMpack(scope.mpack);
  }
  return summary;
}

/** Adds the counts of two shards. */
function addSummaries(a: AuditSummary, b: AuditSummary): AuditSummary {
  const sums = Object.entries(a).map(([name, value]) => {
    const other = b[name as keyof AuditSummary];
    return [name, typeof value === "number" ? value + Number(other) : value];
  });
  const findings = { ...a.findings };
  for (const [code, count] of Object.entries(b.findings)) {
    findings[code] = (findings[code] ?? 0) + count;
  }
  return {
    ...Object.fromEntries(sums),
    is_valid: a.is_valid && b.is_valid,
    findings,
    repair: [...a.repair, ...b.repair].slice(0, MOST_REPAIRS),
  };
}

async function auditShard(
  { db, store, samplePercent, repoId, mpack }: {
    readonly db: Database;
    readonly store: BlobStore;
    readonly samplePercent: number | undefined;
    readonly repoId?: string;
    readonly mpack?: string;
  },
  flags: AuditFlags,
  config: Config,
  signal: AbortSignal,
): Promise<AuditSummary> {
  const auditId = `audit repo=${repoId ?? ""} mpack=${mpack ?? ""} sample=${samplePercent ?? ""}`;
  if (flags.restart) await endAudit(db, auditId);
  const line = new LiveLine();
  let note = "";
  try {
    return await audit({
      db,
      store,
      limits: limitsOf(config),
      signal,
      auditId,
      repoId,
      mpackKey: mpack,
      samplePercent,
      isDryRun: flags.dryRun,
      onFinding: async (finding) => {
        line.clear();
        if (flags.json) await printJson({ finding });
        else await print(findingText(finding));
      },
      onMpack: (done, total) => note = `mpack ${formatCount(done + 1)} of ${formatCount(total)}`,
      onProgress: ({ sizeBytes }, bytes) => line.show({ label: "audit", bytes, sizeBytes, note }),
    });
  } finally {
    line.clear();
  }
}

async function enqueueAudit(flags: AuditFlags, config: Config): Promise<void> {
  const samplePercent = percentOf(flags.sample);
  if (flags.repo === undefined) {
    throw new ConfigError("Cannot enqueue an audit without --repo: a job belongs to one repo");
  }
  await using opened = await openDatabase(config);
  const { db, repoId } = await openRepo(opened, flags.repo);
  const mpack = flags.mpack && await mpackKeyOf(db, repoId, flags.mpack);
  const { row } = await enqueue(db, {
    repoId,
    jobType: MPACK_AUDIT,
    payload: {
      ...(mpack ? { mpack_key: mpack } : {}),
      ...(samplePercent === undefined ? {} : { sample_percent: samplePercent }),
    },
    maxAttempts: config.maxAttempts,
  });
  if (flags.json) await printJson({ job_id: row.jobId });
  else await print(`Enqueued: job ${row.jobId}`);
}

/** What to audit, and in which shard: that of the repo, or of `--shard`. */
async function scopeOf(
  opened: OpenedDatabase,
  { repo: name, mpack: text, shard }: AuditFlags,
): Promise<{ readonly repoId?: string; readonly mpack?: string; readonly shard?: string }> {
  if (name === undefined) {
    return { shard, mpack: text && await mpackKeyAnywhere(opened, text, { shard }) };
  }
  const { db, repo, repoId } = await openRepo(opened, name);
  const mpack = text && await mpackKeyOf(db, repoId, text);
  return { repoId, mpack, shard: repo.home?.shard ?? CATALOG };
}

function percentOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const percent = /^\d{1,3}(\.\d{1,6})?%?$/.test(text) ? parseFloat(text) : NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new ConfigError(`Cannot use --sample ${text}: it is not above 0% and up to 100%`);
}

function findingText({ code, repo, mpack_key, message, offset_bytes }: AuditFinding): string {
  const place = offset_bytes === undefined ? "" : `, byte ${formatCount(offset_bytes)}`;
  return `${code}: ${message} (${repo}, ${mpack_key}${place})`;
}

function were(count: number, one: string): string {
  return `${counted(count, one)} ${count === 1 ? "was" : "were"}`;
}

function textOf(summary: AuditSummary): string {
  const { mpacks, mpacks_damaged, mpacks_misread, mpacks_checked_before: before } = summary;
  const count = formatCount;
  const earlier = before === 0 ? "" : ` (and ${count(before)} earlier)`;
  const lines = [
    `${counted(mpacks, "mpack")} checked${earlier}, ${count(mpacks_damaged)} damaged: ` +
    `${counted(summary.objects, "object")}, ${formatBytes(summary.bytes)} in ` +
    formatMs(summary.elapsed_ms),
  ];
  if (summary.mpacks_moved > 0) {
    lines.push(`  ${were(summary.mpacks_moved, "mpack")} moved and valid now`);
  }
  if (mpacks_misread > 0) {
    lines.push(`  ${were(mpacks_misread, "mpack")} misread at first: watch the store`);
  }
  if (summary.refs_marked > 0) {
    lines.push(
      `  ${counted(summary.refs_marked, "ref")} ` +
        (summary.dry_run
          ? "would be marked, and then not be read"
          : "newly marked: cannot be read"),
    );
  }
  if (summary.refs_restored > 0) {
    lines.push(
      `  ${counted(summary.refs_restored, "ref")} ${
        summary.dry_run ? "valid, and would be marked so" : "valid again"
      }`,
    );
  }
  if (summary.quotas_corrected > 0) {
    lines.push(
      `  usage of ${counted(summary.quotas_corrected, "tenant")} was counted wrongly; corrected`,
    );
  }
  if (summary.dry_run) lines.push("Nothing was changed");
  if (summary.repair.length > 0) lines.push("To repair:", ...summary.repair.map((s) => `  ${s}`));
  return lines.join("\n");
}
