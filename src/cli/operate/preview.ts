/**
 * `--dry-run` of index and enqueue: what would happen to each source.
 *
 * @module
 */

import { blobKeyOf, type Config } from "../../config/config.ts";
import { findRepo, parseRepoName } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import type { BranchReport } from "../../jobs/history/move_branch.ts";
import { type IndexPreview, previewIndex } from "../../jobs/preview/preview_index.ts";
import { warningText } from "../../lib/text/pack_warnings.ts";
import { statIfPresent } from "../../stream/store/stat_if_present.ts";
import { eachSource, sourceMember } from "../each_source.ts";
import { oneLine } from "../history/commit_text.ts";
import { indexPayload, type MpackFlags } from "../mpack_options.ts";
import { isKey, openOnce } from "../mpack_source.ts";
import { isShortKey, mpackKeyOf } from "../named_ids.ts";
import { print, printJson } from "../output.ts";
import { openResources } from "../resources.ts";
import { counted, formatBytes, LiveLine } from "../terminal.ts";

interface PreviewFlags extends MpackFlags {
  readonly json?: boolean;
}

/** What would happen, with what only the command line does. */
type Preview = IndexPreview & {
  /** Whether the repo would be created. */
  readonly repo_created: boolean;
  /** Whether the bytes would be written to the store. */
  readonly blob_stored: boolean;
};

/**
 * Prints what the command would do with each source. A repo is not even created.
 *
 * @returns The exit code that the command would end with, as far as it can be known.
 */
export async function previewSources(
  verb: "index" | "enqueue",
  sources: readonly string[],
  flags: PreviewFlags,
  { config, signal }: { readonly config: Config; readonly signal: AbortSignal },
): Promise<number> {
  const payload = indexPayload(flags), name = parseRepoName(flags.repo);
  await using resources = await openResources(config, { isWriting: false });
  const { db, store, isEmbedded } = resources;
  const repo = await findRepo(db, name), repoId = repo?.repoId ?? "";
  if (repo === undefined && !flags.create && !isEmbedded) {
    throw new ConfigError(`Cannot find repo ${flags.repo} on ${db.label}`, {
      code: "repo-not-found",
    });
  }
  const line = new LiveLine();
  return await eachSource(sources, flags, async (given) => {
    try {
      const text = await isShortKey(given) ? await mpackKeyOf(db, repoId, given) : given;
      const wanted = isKey(text) ? text : flags.expect;
      await using reader = isKey(text)
        ? await store.open(blobKeyOf(config.blobKey, repoId, text), { signal })
        : await openOnce(text, config, { signal });
      const found = await previewIndex({
        ...{ db, store, config, repoId, owner: name.owner, reader, payload, signal },
        ...(wanted !== undefined && { mpackKey: wanted }),
        branches: flags.branches ?? false,
        force: flags.force ?? false,
        onProgress: (bytes, sizeBytes) => line.show({ label: "read", bytes, sizeBytes }),
      });
      const { mpack_key: mpackKey, size_bytes: sizeBytes } = found;
      const blobKey = blobKeyOf(config.blobKey, repoId, mpackKey);
      const stored = isKey(text) || repo === undefined && config.blobKey.includes("{repo_id}")
        ? undefined
        : await statIfPresent(store, blobKey, { signal });
      const preview: Preview = {
        ...found,
        repo_created: repo === undefined,
        blob_stored: !isKey(text) && (flags.upload || stored?.sizeBytes !== sizeBytes),
      };
      line.clear();
      if (flags.json) await printJson({ ...sourceMember(sources, given), ...preview });
      else await print(textOf(verb, preview, flags.repo));
    } finally {
      line.clear();
    }
  });
}

function textOf(verb: "index" | "enqueue", preview: Preview, repo: string): string {
  const count = (n: number, one: string) => counted(n, one);
  const lines = [
    `Would ${verb} ${preview.mpack_key} in ${repo}; nothing was changed`,
    `  size        ${formatBytes(preview.size_bytes)}`,
    `  objects     ${count(preview.objects_total, "object")}, ` +
    `${preview.objects_new} new to the repo`,
    `  history     ${count(preview.commits, "commit")}, ${count(preview.snapshots, "snapshot")}, ` +
    count(preview.tags, "tag"),
  ];
  if (preview.repo_created) lines.push(`  repo        ${repo} would be created`);
  if (preview.already_indexed) lines.push("  pack        the repo has it already");
  lines.push(
    `  store       the bytes ${preview.blob_stored ? "would be written" : "are there already"}`,
  );
  for (const branch of preview.branches) lines.push(`  branch      ${oneLine(branchText(branch))}`);
  for (const code of preview.warnings) lines.push(`  warning     ${warningText(code)}`);
  return lines.join("\n");
}

function branchText({ name, head, moved, message }: BranchReport): string {
  if (moved) return `${name} would move to ${head}`;
  return message === undefined ? `${name} is at ${head} already` : `${name} would stay: ${message}`;
}
