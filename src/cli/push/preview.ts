/**
 * `push --dry-run`: checks packs on this machine, asks the server for its branches, sends nothing.
 *
 * @module
 */

import { type Config, limitsOf } from "../../config/config.ts";
import { InvalidMpackError, type MpackErrorCode } from "../../errors.ts";
import { warningText } from "../../lib/text/pack_warnings.ts";
import { inspectMpack, type MpackReport } from "../../maintenance/inspect.ts";
import { requestRefs } from "../clone/request.ts";
import { eachSource, sourceMember } from "../each_source.ts";
import { oneLine } from "../history/commit_text.ts";
import { openOnce } from "../mpack_source.ts";
import { print, printJson, tell } from "../output.ts";
import type { Account } from "../remotes/account.ts";
import type { RemoteRepo } from "../remotes/repo_url.ts";
import { counted, formatBytes, LiveLine } from "../terminal.ts";

/** Where the packs would go, and as whom. */
interface PushPlace {
  readonly place: RemoteRepo;
  readonly account: Account;
  readonly config: Config;
  readonly signal: AbortSignal;
}

/**
 * Prints what a push would send. Whether the server takes it, it decides when it has read it.
 *
 * @returns The exit code.
 * @throws {ConfigError} If the server does not show the repo.
 */
export async function previewPush(
  files: readonly string[],
  { branch, force = false, json }: {
    readonly branch?: string;
    readonly force?: boolean;
    readonly json?: boolean;
  },
  { place, account, config, signal }: PushPlace,
): Promise<number> {
  const { heads } = await requestRefs({ url: place.url, signal, ...account });
  const head = branch === undefined ? undefined : heads.get(branch) ?? null;
  return await eachSource(files, { json }, async (file) => {
    const report = await inspectOne(file, config, signal);
    const { mpack_key: mpackKey, size_bytes: sizeBytes, counts, warnings } = report;
    if (json) {
      return await printJson({
        ...sourceMember(files, file),
        dry_run: true,
        mpack_key: mpackKey,
        size_bytes: sizeBytes,
        objects_total: counts.objects,
        commits: counts.commits,
        snapshots: counts.snapshots,
        warnings,
        ...(branch !== undefined && { branch: { name: branch, head } }),
      });
    }
    await print(
      `Would push ${mpackKey} to ${place.url}: ${formatBytes(sizeBytes)}, ` +
        `${counted(counts.commits, "commit")}, ${counted(counts.objects, "object")}; ` +
        "nothing was sent",
    );
    for (const code of warnings) tell(`Warning: ${warningText(code)}`);
    if (branch !== undefined) await print(oneLine(branchText(branch, head ?? null, force)));
  });
}

function branchText(name: string, head: string | null, force: boolean): string {
  if (head === null) {
    return `Branch ${name} is not there: it would be made at the pack's last commit`;
  }
  const now = `Branch ${name} is at ${head}: it would move to the pack's last commit`;
  return force ? now : `${now}, if that has this one as an ancestor`;
}

/** @throws {InvalidMpackError} If a server would refuse the bytes. */
async function inspectOne(file: string, config: Config, signal: AbortSignal): Promise<MpackReport> {
  const line = new LiveLine();
  try {
    await using reader = await openOnce(file, config, { signal });
    const report = await inspectMpack(reader, {
      signal,
      limits: limitsOf(config),
      largest: 0,
      onProgress: (bytes, sizeBytes) => line.show({ label: "check", bytes, sizeBytes }),
    });
    const [problem] = report.problems;
    if (problem === undefined) return report;
    const { code, message, offset_bytes: offsetBytes } = problem;
    throw InvalidMpackError.recorded(code as MpackErrorCode, message, offsetBytes);
  } finally {
    line.clear();
  }
}
