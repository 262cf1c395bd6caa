/**
 * `main.ts push FILE`: a client of the HTTP API. One signed request, the pack as its body.
 *
 * @module
 */

import type { Command } from "commander";
import { contentDigest } from "../api/auth/content_digest.ts";
import { readSigner } from "../api/auth/keys.ts";
import { signRequest } from "../api/auth/signature.ts";
import { parseRepoName } from "../db/repos.ts";
import { ConfigError, PackError, type PackErrorCode, StoreError } from "../errors.ts";
import type { IndexResult } from "../result.ts";
import { readerToStream } from "../stream/reader_stream.ts";
import type { CommandContext } from "./program.ts";
import { openSource } from "./source.ts";
import { formatCount, LiveLine } from "./terminal.ts";

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
    .description("Push a pack to a server (see serve), which stores and indexes it in one pass.")
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
          const request = await requestFor(mpackKey, flags);
          const body = readerToStream(await source.body());
          const result = await send(request, body, signal, config.httpTotalMs);
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

async function requestFor(
  mpackKey: string,
  { remote, repo, key, token }: PushFlags,
): Promise<{ url: URL; headers: Headers }> {
  const { owner, slug } = parseRepoName(repo);
  if (!URL.canParse(remote)) throw new ConfigError(`Cannot push to ${remote}: it is no URL`);
  const url = new URL(`${remote.replace(/\/$/, "")}/${owner}/${slug}/push/stream`);
  const digest = Uint8Array.fromHex(mpackKey.slice("sha256:".length));
  const headers = new Headers({
    "x-mpack-key": mpackKey,
    "content-type": "application/octet-stream",
    "content-digest": contentDigest(digest),
  });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  if (key === undefined) return { url, headers };
  const signed = await signRequest({ method: "POST", url, headers }, await readSigner(key));
  for (const [name, value] of Object.entries(signed)) headers.set(name, value);
  return { url, headers };
}

/** A result, or a problem. */
type Answer = IndexResult & { code: string; detail: string; offset_bytes: number };

async function send(
  { url, headers }: { readonly url: URL; readonly headers: Headers },
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  deadlineMs: number,
): Promise<IndexResult> {
  let response: Response, answer: Partial<Answer>;
  // The server gives a request no longer either.
  const late = AbortSignal.timeout(deadlineMs);
  try {
    const ends = AbortSignal.any([signal, late]);
    response = await fetch(url, { method: "POST", headers, body, signal: ends });
    answer = await response.json().catch((error) => {
      if (ends.aborted) throw error;
      return {};
    });
  } catch (cause) {
    signal.throwIfAborted();
    throw new StoreError(
      "store-unavailable",
      `Cannot push to ${url.origin}: ${
        late.aborted ? `no answer in ${deadlineMs} ms` : (cause as Error).message
      }`,
      { cause },
    );
  }
  if (response.ok) return answer as IndexResult;
  const { code = "store-unavailable", detail = `it answered ${response.status}` } = answer;
  if (response.status === 429 || response.status >= 500) {
    throw new StoreError("store-unavailable", detail, { status: response.status });
  }
  const isOfPack = [409, 413, 422].includes(response.status);
  if (isOfPack) throw PackError.recorded(code as PackErrorCode, detail, answer.offset_bytes);
  throw new ConfigError(detail, code === "repo-not-found" ? { code } : {});
}
