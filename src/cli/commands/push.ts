/**
 * `main.ts push FILE`: a client of the HTTP API. One signed request, the pack as its body.
 *
 * @module
 */

import type { Command } from "commander";
import { contentDigest } from "../../http/auth/content_digest.ts";
import { readSigner } from "../../http/auth/keys.ts";
import { type Signer, signRequest } from "../../http/auth/signature.ts";
import { parseRepoName } from "../../db/repos.ts";
import {
  ConfigError,
  GhostError,
  InvalidMpackError,
  type MpackErrorCode,
  StoreError,
} from "../../errors.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import { sleepMs } from "../../lib/abort.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";
import type { CommandContext } from "../command.ts";
import { type Answer, post } from "../send_file.ts";
import { openSource, type Source, type SourceOptions } from "../source.ts";
import { formatCount, LiveLine } from "../terminal.ts";

/** Requests in all, where the server says that it is busy. */
const MAX_ATTEMPTS = 5;
/** A server that asks for more patience than this is as good as away. */
const MAX_WAIT_MS = 60_000;

interface PushFlags {
  readonly remote: string;
  readonly repo: string;
  readonly key?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addPushCommand(program: Command, context: CommandContext): void {
  program.command("push")
    .summary("push a pack to a server")
    .description(
      "Push a pack to a server (see serve), which stores and indexes it in one pass. Where the\n" +
        "server is busy (429, 503) it is asked again after the time it says, five times in all.",
    )
    .argument("<file>", "the pack")
    .requiredOption("--remote <url>", "the server, such as http://127.0.0.1:8080")
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--key <file>", "the private key that signs the request (see identity)")
    .option("--token <token>", "a bearer token instead (see token)")
    .option("--json", "print the result, or the error, as one JSON document")
    .action((file: string, flags: PushFlags) =>
      context.run(flags, async (signal) => {
        const line = new LiveLine();
        try {
          const config = context.config();
          await using source = await openSource(file, config, { signal, line });
          if (source.body === undefined) throw new ConfigError(`Cannot push ${file}: no file`);
          const { mpackKey } = source;
          const target = await targetOf(mpackKey, flags);
          const deadlineMs = config.httpTotalMs;
          const result = await withDeadline(source, target, { signal, line, deadlineMs });
          if (flags.json) return console.log(JSON.stringify(result));
          const { objects_total, object_refs_written } = result;
          console.log(
            `Pushed ${mpackKey} to ${flags.repo}: ${formatCount(objects_total)} objects, ` +
              `${formatCount(object_refs_written)} new to it`,
          );
        } finally {
          line.clear();
        }
      })
    );
}

/** Where to push, and as whom. */
interface Target {
  readonly url: URL;
  readonly headers: Headers;
  readonly signer: Signer | undefined;
}

async function targetOf(
  mpackKey: string,
  { remote, repo, key, token }: PushFlags,
): Promise<Target> {
  const { owner, slug } = parseRepoName(repo);
  if (!/^https?:\/\//.test(remote) || !URL.canParse(remote)) {
    throw new ConfigError(`Cannot push to ${remote}: it is no URL`);
  }
  const url = new URL(`${remote.replace(/\/$/, "")}/${owner}/${slug}/push/stream`);
  const digest = Uint8Array.fromHex(mpackKey.slice("sha256:".length));
  const headers = new Headers({
    "x-mpack-key": mpackKey,
    "content-type": "application/octet-stream",
    "content-digest": contentDigest(digest),
  });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  return { url, headers, signer: key === undefined ? undefined : await readSigner(key) };
}

interface SendOptions extends SourceOptions {
  /** How long one request may take: the server gives it no longer either. */
  readonly deadlineMs: number;
}

/** What a problem may say. */
interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly offset_bytes?: number;
  readonly missing?: readonly string[];
  readonly missing_count?: number;
}

/** Sends the pack, and once more for as long as the server says that it is busy. */
async function withDeadline(
  source: Source,
  target: Target,
  options: SendOptions,
): Promise<IndexResult> {
  for (let attempt = 1;; attempt++) {
    const answer = await send(source, target, options);
    if (answer.status === 200) return answer.value as IndexResult;
    const isBusy = answer.status === 429 || answer.status === 503;
    if (!isBusy || attempt === MAX_ATTEMPTS) throw errorOf(answer);
    options.line.clear();
    const waitMs = retryAfterMs(answer.headers.get("retry-after")) ?? attempt * 1_000;
    await sleepMs(Math.min(waitMs, MAX_WAIT_MS), options.signal);
  }
}

/** One request. A signature counts once, so each gets its own. */
async function send(
  source: Source,
  { url, headers: common, signer }: Target,
  { signal, line, deadlineMs }: SendOptions,
): Promise<Answer> {
  const headers = new Headers(common), method = "POST";
  if (signer !== undefined) {
    const signed = await signRequest({ method, url, headers }, signer);
    for (const [name, value] of Object.entries(signed)) headers.set(name, value);
  }
  const { sizeBytes } = source;
  const late = AbortSignal.timeout(deadlineMs), ends = AbortSignal.any([signal, late]);
  await using reader = await source.body!();
  async function* watched() {
    let bytes = 0;
    for await (const chunk of iterateReader(reader)) {
      line.show({ label: "push", bytes: bytes += chunk.length, sizeBytes });
      yield chunk;
    }
  }
  try {
    return await post(url, { headers, body: watched(), sizeBytes, signal: ends });
  } catch (cause) {
    signal.throwIfAborted();
    const why = late.aborted ? `no answer in ${deadlineMs} ms` : (cause as Error).message;
    throw new StoreError("store-unavailable", `Cannot push to ${url.origin}: ${why}`, { cause });
  }
}

/** The field's seconds or date as milliseconds from now; undefined without one. */
function retryAfterMs(field: string | null): number | undefined {
  if (field === null) return undefined;
  const ms = /^\d+$/.test(field) ? Number(field) * 1000 : Date.parse(field) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function errorOf({ status, value }: Answer): Error {
  const answer = value as Problem;
  const { code, detail = `Cannot push: the server answered ${status}` } = answer;
  if (status === 429 || status >= 500) {
    return new StoreError("store-unavailable", detail, { status });
  }
  if (code === "ghost-objects") return new GhostError(answer.missing!, answer.missing_count!);
  if ([409, 413, 422].includes(status)) {
    return InvalidMpackError.recorded(code as MpackErrorCode, detail, answer.offset_bytes);
  }
  return new ConfigError(detail, code === "repo-not-found" ? { code } : {});
}
