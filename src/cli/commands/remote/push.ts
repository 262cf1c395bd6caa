/**
 * `mpackd push FILE…`: sends packs to a server, in one signed request each or in parts.
 *
 * @module
 */

import type { Command } from "commander";
import { contentDigest } from "../../../http/auth/content_digest.ts";
import type { Config } from "../../../config/config.ts";
import { ConfigError } from "../../../errors.ts";
import { branchNameFault } from "../../../jobs/history/branch_name.ts";
import type { IndexResult } from "../../../jobs/index/result.ts";
import { warningText } from "../../../lib/text/pack_warnings.ts";
import { digestOf } from "../../../lib/ids.ts";
import { iterateReader } from "../../../stream/store/reader_stream.ts";
import type { CommandContext } from "../../command.ts";
import { parseBytes } from "../../flags.ts";
import { eachSource, sourceMember } from "../../each_source.ts";
import { openSource, requireSources, type Source } from "../../mpack_source.ts";
import { oneLine } from "../../history/commit_text.ts";
import { print, printJson, tell } from "../../output.ts";
import { resultOfAnswer } from "../../push/answer.ts";
import { pushInParts } from "../../push/in_parts.ts";
import { Remote } from "../../push/remote.ts";
import { type AccountFlags, openAccount, withAccountOptions } from "../../remotes/account.ts";
import { isUrl, remoteRepo } from "../../remotes/repo_url.ts";
import { readSaved } from "../../remotes/saved.ts";
import { counted, formatCount, LiveLine } from "../../terminal.ts";

const MIB = 1024 * 1024;

/** The remote that is meant where none is named, as in git. */
const USUAL_REMOTE = "origin";

interface PushFlags extends AccountFlags {
  readonly remote?: string;
  readonly repo?: string;
  readonly branch?: string;
  readonly force?: boolean;
  readonly resume?: boolean;
  readonly partBytes: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function addPushCommand(program: Command, context: CommandContext): void {
  const command = program.command("push")
    .summary("push packs to a server")
    .description(
      "Push packs, one after another, to a server (see serve), which stores and indexes each in one pass. If the\n" +
        "server is busy (429, 503), wait as long as it says and try again, five times in all.\n\n" +
        "With --resume the pack goes to the store in parts, and a push that broke off goes on\n" +
        "with the parts that are missing when the same command is run again.",
    )
    .usage("[options] [remote] <files...>")
    .argument(
      "<files...>",
      "the packs; - is stdin. Before them the repo's URL, or the name of a saved remote; else origin",
    )
    .option("--remote <remote>", "the remote, or the server's URL, such as http://127.0.0.1:8080")
    .option("--repo <owner/slug>", "the repo, if the remote is a server, or another one of it")
    .option("--branch <name>", "move this branch to the pack's last commit, or refuse the pack")
    .option("--force", "move the branch even if it loses commits")
    .option("--resume", "push in parts, and go on where an earlier push broke off")
    .option("--part-bytes <n>", "length of a part that is lost when it breaks", "64MiB");
  command.option("--dry-run", "check the packs, ask for the branches, and send nothing");
  withAccountOptions(command)
    .option("--json", "print the result, or the error, as one JSON document")
    .action((given: string[], flags: PushFlags) =>
      context.run(flags, async (signal) => {
        const line = new LiveLine(), config = context.config();
        const { branch, force = false } = flags;
        checkFlags(flags);
        const { remote: name, files } = await splitRemote(given, flags, config);
        await requireSources(files);
        const place = await remoteRepo(name, flags.repo, config);
        const partBytes = parseBytes("--part-bytes", flags.partBytes, { min: 5 * MIB });
        const onWait = () => line.clear(), deadlineMs = config.httpTotalMs;
        const account = await openAccount(place.url, flags, config);
        if (flags.dryRun) {
          const { previewPush } = await import("../../push/preview.ts");
          return await previewPush(files, flags, { place, account, config, signal });
        }
        const remote = new Remote(place, account, { signal, deadlineMs, onWait });
        return await eachSource(files, flags, async (file) => {
          try {
            await using source = await openSource(file, config, { signal, line });
            if (source.body === undefined) throw new ConfigError(`Cannot push ${file}: no file`);
            const result = flags.resume
              ? await pushInParts(source, remote, {
                ...{ signal, line, deadlineMs, partBytes },
                ...(branch !== undefined && { branch, force }),
              })
              : await pushWhole(source, remote, line, flags);
            line.clear();
            const { repo } = place, { json } = flags, { mpackKey } = source;
            await report(result, { repo, json, mpackKey, files, file });
          } finally {
            line.clear();
          }
        });
      })
    );
}

/** The remote and the packs: the first word may name the remote. */
async function splitRemote(
  given: readonly string[],
  { remote }: PushFlags,
  config: Config,
): Promise<{ readonly remote: string; readonly files: readonly string[] }> {
  if (remote !== undefined) return { remote, files: given };
  const [first, ...rest] = given;
  const isRemote = isUrl(first) && !first.startsWith("s3://") ||
    rest.length > 0 && Object.hasOwn((await readSaved(config)).remotes, first);
  if (!isRemote) return { remote: USUAL_REMOTE, files: given };
  if (rest.length === 0) throw new ConfigError(`Cannot push to ${first}: name a pack`);
  return { remote: first, files: rest };
}

function checkFlags({ branch, force }: PushFlags): void {
  if (force && branch === undefined) throw new ConfigError("Cannot use --force without --branch");
  const fault = branch === undefined ? undefined : branchNameFault(branch);
  if (fault === undefined) return;
  throw new ConfigError(`Cannot use --branch ${JSON.stringify(branch)}: ${fault}`);
}

async function report(
  result: IndexResult | undefined,
  { repo, json, mpackKey, files, file }: {
    readonly repo: string;
    readonly json: boolean | undefined;
    readonly mpackKey: string;
    readonly files: readonly string[];
    readonly file: string;
  },
): Promise<void> {
  if (json) {
    const answer = result ?? { mpack_key: mpackKey, already_indexed: true };
    return await printJson({ ...sourceMember(files, file), ...answer });
  }
  if (result === undefined) return await print(`${repo} has ${mpackKey} already`);
  const { objects_total, object_refs_written, commits, branch } = result;
  const history = commits === 0 ? "" : `${counted(commits, "commit")}, `;
  await print(
    `Pushed ${mpackKey} to ${repo}: ${history}${counted(objects_total, "object")}, ` +
      `${formatCount(object_refs_written)} new to it`,
  );
  for (const code of result.warnings ?? []) tell(`Warning: ${warningText(code)}`);
  if (branch === undefined) return;
  const { name, head, moved } = branch,
    at = oneLine(`${name} ${moved ? "moved to" : "is at"} ${head}`);
  await print(moved ? `Branch ${at}` : `Branch ${at} already`);
}

/** Sends the pack in one request, which stores and indexes it. */
async function pushWhole(
  source: Source,
  remote: Remote,
  line: LiveLine,
  { branch, force = false }: PushFlags,
): Promise<IndexResult> {
  const { mpackKey, sizeBytes } = source, url = remote.pushUrl("stream");
  if (branch !== undefined) {
    url.searchParams.set("branch", branch);
    url.searchParams.set("force", String(force));
  }
  const answer = await remote.send({
    url,
    headers: {
      "x-mpack-key": mpackKey,
      "content-type": "application/octet-stream",
      "content-digest": contentDigest(Uint8Array.fromHex(digestOf(mpackKey))),
    },
    sizeBytes,
    async *body() {
      let bytes = 0;
      for await (const chunk of iterateReader(await source.body!())) {
        line.show({ label: "push", bytes: bytes += chunk.length, sizeBytes });
        yield chunk;
      }
    },
  });
  return resultOfAnswer(answer, mpackKey);
}
