/**
 * `mpackd clone URL DIR`: a folder with the files of a branch, and the history as a pack.
 *
 * @module
 */

import type { Command } from "commander";
import { dirname, resolve } from "node:path";
import { type Config, limitsOf } from "../../../config/config.ts";
import { ConfigError } from "../../../errors.ts";
import { openFileStore } from "../../../stream/store/folder/folder_store.ts";
import { checkOut, HISTORY_FILE, HISTORY_FOLDER } from "../../clone/check_out.ts";
import { readCommitFiles } from "../../clone/read_pack.ts";
import { type CloneSource, requestHistory, requestRefs } from "../../clone/request.ts";
import type { CommandContext } from "../../command.ts";
import { oneLine, shortId } from "../../history/commit_text.ts";
import { writeWhole } from "../../history/write_whole.ts";
import { print, printJson } from "../../output.ts";
import { type AccountFlags, openAccount, withAccountOptions } from "../../remotes/account.ts";
import { remoteRepo } from "../../remotes/repo_url.ts";
import { counted, formatBytes, LiveLine } from "../../terminal.ts";

interface CloneFlags extends AccountFlags {
  readonly branch?: string;
  readonly json?: boolean;
}

/** What a clone brought, for `--json`. */
interface CloneResult {
  readonly branch: string;
  readonly head: string | null;
  readonly branches: number;
  readonly commits: number;
  readonly files: number;
  readonly size_bytes: number;
}

/** Adds the command. */
export function addCloneCommand(program: Command, context: CommandContext): void {
  const command = program.command("clone")
    .summary("copy a repo from a server into a folder")
    .description(
      "Copy a repo from a server: the files of a branch into a new folder, and the whole history as " +
        "one pack, .mpackd/history.mpack in it. Every id is checked. If it fails, nothing is left.",
    )
    .argument("<url>", "the repo, such as http://127.0.0.1:8080/ada/engine, or a saved remote")
    .argument("<folder>", "a folder that does not exist, or is empty")
    .option("--branch <name>", "the branch whose files are written (default: the first branch)");
  withAccountOptions(command)
    .option("--json", "print the result, or the error, as one JSON document")
    .action((url: string, folder: string, flags: CloneFlags) =>
      context.run(flags, async (signal) => {
        const result = await runClone(url, folder, flags, { config: context.config(), signal });
        if (flags.json) return await printJson(result);
        await print(
          result.head === null
            ? `Cloned an empty repo into ${folder}`
            : `Cloned ${oneLine(result.branch)} at ${shortId(result.head)} into ${folder}: ` +
              `${counted(result.files, "file")}; history of ${
                counted(result.commits, "commit")
              }, ` +
              formatBytes(result.size_bytes),
        );
      })
    );
}

async function runClone(
  given: string,
  folder: string,
  flags: CloneFlags,
  { config, signal }: { readonly config: Config; readonly signal: AbortSignal },
): Promise<CloneResult> {
  const { url } = await remoteRepo(given, undefined, config);
  const target = resolve(folder);
  await refuseUsed(target);
  const source: CloneSource = { url, signal, ...await openAccount(url, flags, config) };
  // Beside the target, so that it can be renamed.
  const part = await Deno.makeTempDir({ dir: dirname(target), prefix: ".mpackd-clone-" });
  let isDone = false;
  try {
    const result = await fill(part, source, flags, config);
    await Deno.chmod(part, 0o755).catch(() => {});
    await Deno.remove(target).catch(() => {});
    await Deno.rename(part, target);
    isDone = true;
    return result;
  } finally {
    if (!isDone) await Deno.remove(part, { recursive: true });
  }
}

async function fill(
  folder: string,
  source: CloneSource,
  flags: CloneFlags,
  config: Config,
): Promise<CloneResult> {
  const { signal } = source, { defaultBranch, heads } = await requestRefs(source);
  const branch = flags.branch ??
    (heads.has(defaultBranch) ? defaultBranch : heads.keys().next().value ?? defaultBranch);
  const head = heads.get(branch);
  if (head === undefined) {
    if (flags.branch !== undefined || heads.size > 0) {
      throw new ConfigError(`Cannot clone branch ${JSON.stringify(branch)}: the repo has none`);
    }
    return { branch, head: null, branches: 0, commits: 0, files: 0, size_bytes: 0 };
  }
  const store = openFileStore(`${folder}/${HISTORY_FOLDER}`), line = new LiveLine();
  await Deno.mkdir(`${folder}/${HISTORY_FOLDER}`);
  try {
    const chunks = await requestHistory(source, [...new Set(heads.values())]);
    const sizeBytes = await writeWhole(`${folder}/${HISTORY_FOLDER}/${HISTORY_FILE}`, chunks, {
      signal,
      onChunk: (bytes) => line.show({ label: "clone", bytes, sizeBytes: 0 }),
    });
    const limits = limitsOf(config);
    const files = await readCommitFiles(store, HISTORY_FILE, { commitId: head, limits, signal });
    await checkOut(store, HISTORY_FILE, files, { folder, signal });
    return {
      branch,
      head,
      branches: heads.size,
      commits: files.commits,
      files: files.entries.length,
      size_bytes: sizeBytes,
    };
  } finally {
    line.clear();
  }
}

async function refuseUsed(folder: string): Promise<void> {
  try {
    for await (const _ of Deno.readDir(folder)) {
      throw new ConfigError(`Cannot clone into ${folder}: it is not empty`);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (error instanceof Deno.errors.NotADirectory) {
      throw new ConfigError(`Cannot clone into ${folder}: it is a file`, { cause: error });
    }
    throw error;
  }
}
