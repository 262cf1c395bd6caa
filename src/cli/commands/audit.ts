/**
 * `main.ts audit`: re-hashes what packs hold.
 *
 * @module
 */

import type { Command } from "commander";
import { type Config, limitsOf } from "../../config/config.ts";
import { endAudit } from "../../db/audits.ts";
import { findRepo, parseRepoName } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { isMpackKey } from "../../lib/ids.ts";
import { MPACK_AUDIT } from "../../jobs/audit_handler.ts";
import { enqueue } from "../../jobs/queue/enqueue.ts";
import { audit, type AuditFinding, type AuditSummary } from "../../maintenance/audit/audit.ts";
import { EXIT } from "../exit.ts";
import type { CommandContext } from "../command.ts";
import { formatBytes, formatCount, formatMs, LiveLine } from "../terminal.ts";
import { openBlobStore, openDatabase } from "../resources.ts";

interface AuditFlags {
  readonly repo?: string;
  readonly mpack?: string;
  readonly sample?: string;
  readonly restart?: boolean;
  readonly enqueue?: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addAuditCommand(program: Command, context: CommandContext): void {
  program.command("audit")
    .summary("re-hash the objects of packs")
    .description(
      "Read packs once more and hash the whole and every object. Refs whose bytes are not the\n" +
        "object's are marked: readers are refused them, and a good push of the object heals them.\n" +
        "Interrupted, the same command goes on with the packs that are left. Exit code 3 if\n" +
        "anything is wrong.",
    )
    .option("--repo <owner/slug>", "only the packs of this repo")
    .option("--mpack <key>", "only the packs of this key")
    .option("--sample <percent>", "only so many percent of the packs, chosen at random: 5%")
    .option("--restart", "forget what an interrupted audit has checked")
    .option("--enqueue", "leave it to the workers as a job, mpack.audit; needs --repo")
    .option("--json", "print a JSON document per finding and line, then one with the summary")
    .action((flags: AuditFlags) =>
      context.run(flags, async (signal) => {
        if (flags.enqueue) return await enqueueAudit(flags, context.config());
        const print = flags.json ? printJson : printText;
        const summary = await runAudit(flags, context.config(), signal, print);
        console.log(flags.json ? JSON.stringify({ summary }) : textOf(summary));
        return summary.is_sound ? EXIT.ok : EXIT.rejected;
      })
    );
}

/** Does what the command does and returns the summary. */
export async function runAudit(
  flags: AuditFlags,
  config: Config,
  signal: AbortSignal,
  onFinding: (finding: AuditFinding) => void,
): Promise<AuditSummary> {
  const { mpack, samplePercent } = checkScope(flags);
  await using opened = await openDatabase(config);
  const { db } = opened;
  const repoId = flags.repo === undefined ? undefined : await repoIdOf(opened, flags.repo);
  const auditId = `audit repo=${repoId ?? ""} mpack=${mpack ?? ""} sample=${samplePercent ?? ""}`;
  if (flags.restart) await endAudit(db, auditId);
  const line = new LiveLine();
  let note = "";
  try {
    return await audit({
      db,
      store: await openBlobStore(config),
      limits: limitsOf(config),
      signal,
      auditId,
      repoId,
      mpackKey: mpack,
      samplePercent,
      onFinding: (finding) => {
        line.clear();
        onFinding(finding);
      },
      onPack: (done, total) => note = `pack ${formatCount(done + 1)} of ${formatCount(total)}`,
      onProgress: ({ sizeBytes }, bytes) => line.show({ label: "audit", bytes, sizeBytes, note }),
    });
  } finally {
    line.clear();
  }
}

async function enqueueAudit(flags: AuditFlags, config: Config): Promise<void> {
  const { mpack, samplePercent } = checkScope(flags);
  if (flags.repo === undefined) {
    throw new ConfigError("Cannot enqueue an audit without --repo: a job is one repo's");
  }
  await using opened = await openDatabase(config);
  const { row } = await enqueue(opened.db, {
    repoId: await repoIdOf(opened, flags.repo),
    jobType: MPACK_AUDIT,
    payload: {
      ...(mpack === undefined ? {} : { mpack_key: mpack }),
      ...(samplePercent === undefined ? {} : { sample_percent: samplePercent }),
    },
    maxAttempts: config.maxAttempts,
  });
  console.log(flags.json ? JSON.stringify({ job_id: row.jobId }) : `Enqueued: job ${row.jobId}`);
}

function checkScope({ mpack, sample }: AuditFlags) {
  if (mpack !== undefined && !isMpackKey(mpack)) {
    throw new ConfigError(`Cannot use --mpack ${mpack}: it is not sha256:<64 hex digits>`);
  }
  return { mpack, samplePercent: percentOf(sample) };
}

function percentOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const percent = /^\d{1,3}(\.\d{1,6})?%?$/.test(text) ? parseFloat(text) : NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new ConfigError(`Cannot use --sample ${text}: it is not above 0% and up to 100%`);
}

async function repoIdOf(
  { db }: Awaited<ReturnType<typeof openDatabase>>,
  name: string,
): Promise<string> {
  const repo = await findRepo(db, parseRepoName(name));
  if (repo !== undefined) return repo.repoId;
  throw new ConfigError(`Cannot find repo ${name} on ${db.label}`, { code: "repo-not-found" });
}

function printJson(finding: AuditFinding): void {
  console.log(JSON.stringify({ finding }));
}

function printText({ code, repo, mpack_key, message, offset_bytes }: AuditFinding): void {
  const place = offset_bytes === undefined ? "" : `, byte ${formatCount(offset_bytes)}`;
  console.log(`${code}: ${message} (${repo}, ${mpack_key}${place})`);
}

function textOf(summary: AuditSummary): string {
  const { packs, packs_damaged, packs_misread, packs_checked_before: before } = summary;
  const lines = [
    `${packs_damaged === 0 ? "Sound" : "Damaged"}: ${formatCount(packs)} packs${
      before === 0 ? "" : ` (and ${formatCount(before)} checked before)`
    }, ${formatCount(summary.objects)} objects, ${formatBytes(summary.bytes)} in ${
      formatMs(summary.elapsed_ms)
    }`,
  ];
  if (packs_damaged > 0) lines.push(`  damaged packs: ${formatCount(packs_damaged)}`);
  if (packs_misread > 0) {
    lines.push(`  ${formatCount(packs_misread)} packs were misread at first: watch the store`);
  }
  if (summary.refs_marked > 0) {
    lines.push(`  ${formatCount(summary.refs_marked)} refs are marked: readers are refused them`);
  }
  if (summary.refs_restored > 0) {
    lines.push(`  ${formatCount(summary.refs_restored)} refs are sound again`);
  }
  if (summary.repair.length > 0) lines.push("To repair:", ...summary.repair.map((s) => `  ${s}`));
  return lines.join("\n");
}
