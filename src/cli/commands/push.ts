/**
 * `mpackd push FILE`: sends a pack to a server in one signed request.
 *
 * @module
 */

import type { Command } from "commander";
import { contentDigest } from "../../http/auth/content_digest.ts";
import { readSigner } from "../../http/auth/keys.ts";
import { type Signer, signRequest } from "../../http/auth/signature.ts";
import { parseRepoName } from "../../db/repos.ts";
import { ConfigError, StoreError } from "../../errors.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import { digestOf } from "../../lib/ids.ts";
import { retryAfterMs } from "../../lib/retry_after.ts";
import { sleep } from "../../lib/sleep.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";
import type { CommandContext } from "../command.ts";
import { errorOfAnswer, resultOfAnswer } from "../push_answer.ts";
import { type Answer, post } from "../send_file.ts";
import { openSource, type Source, type SourceOptions } from "../mpack_source.ts";
import { print, printJson } from "../output.ts";
import { formatCount, LiveLine } from "../terminal.ts";

/** Requests in all if the server is busy. */
const MAX_ATTEMPTS = 5;
/** Longest `Retry-After` that is followed. */
const MAX_WAIT_MS = 60_000;

interface PushFlags {
  readonly remote: string;
  readonly repo: string;
  readonly key?: string;
  readonly token?: string;
  readonly json?: boolean;
}

export function addPushCommand(program: Command, context: CommandContext): void {
  program.command("push")
    .summary("push a pack to a server")
    .description(
      "Push a pack to a server (see serve), which stores and indexes it in one pass. If the\n" +
        "server is busy (429, 503), wait as long as it says and try again, five times in all.",
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
          const result = await sendUntilTaken(source, target, { signal, line, deadlineMs });
          if (flags.json) return await printJson(result);
          const { objects_total, object_refs_written } = result;
          await print(
            `Pushed ${mpackKey} to ${flags.repo}: ${formatCount(objects_total)} objects, ` +
              `${formatCount(object_refs_written)} new to it`,
          );
        } finally {
          line.clear();
        }
      })
    );
}

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
    throw new ConfigError(`Cannot push to ${remote}: it is not a URL`);
  }
  const url = new URL(`${remote.replace(/\/$/, "")}/${owner}/${slug}/push/stream`);
  const digest = Uint8Array.fromHex(digestOf(mpackKey));
  const headers = new Headers({
    "x-mpack-key": mpackKey,
    "content-type": "application/octet-stream",
    "content-digest": contentDigest(digest),
  });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  return { url, headers, signer: key === undefined ? undefined : await readSigner(key) };
}

interface SendOptions extends SourceOptions {
  /** Longest time of one request; the server has the same limit. */
  readonly deadlineMs: number;
}

/** Sends the pack; repeats that while the server says that it is busy. */
async function sendUntilTaken(
  source: Source,
  target: Target,
  options: SendOptions,
): Promise<IndexResult> {
  for (let attempt = 1;; attempt++) {
    const answer = await send(source, target, options);
    if (answer.status === 200) return resultOfAnswer(answer, source.mpackKey);
    const isBusy = answer.status === 429 || answer.status === 503;
    if (!isBusy || attempt === MAX_ATTEMPTS) throw errorOfAnswer(answer);
    options.line.clear();
    const waitMs = retryAfterMs(answer.headers.get("retry-after")) ?? attempt * 1_000;
    await sleep(Math.min(waitMs, MAX_WAIT_MS), options.signal);
  }
}

/** Sends one request with a signature of its own, because each is accepted once. */
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
