/**
 * Pushes an mpack in parts. Which parts have arrived is asked of the server, so a push that broke off
 * goes on from any machine that has the file.
 *
 * @module
 */

import type { z } from "zod";
import {
  ConfigError,
  InvalidMpackError,
  MpackdError,
  type MpackErrorCode,
  StoreError,
} from "../../errors.ts";
import { AcceptedAnswer, CompleteAnswer, OneJobAnswer, PresignAnswer } from "../../http/schemas.ts";
import type { PartsAnswer } from "../../http/schemas.ts";
import type { IndexResult } from "../../jobs/index/result.ts";
import { contentMd5 } from "../../lib/digest.ts";
import { sleep } from "../../lib/sleep.ts";
import { iterateReader } from "../../stream/store/reader_stream.ts";
import type { Source, SourceOptions } from "../mpack_source.ts";
import { tell } from "../output.ts";
import { checkedAnswer, resultOfAnswer } from "./answer.ts";
import { reach, type Remote } from "./remote.ts";
import { sendBody } from "./send_file.ts";

/** Parts that are sent at the same time. */
const CONCURRENT_PARTS = 4;
/** Rounds in a row in which no part arrives. The waits between them are 31 s together. */
const MAX_IDLE_ROUNDS = 6;
const POLL_MS = 2_000;
/** A worker may be starting. */
const TELL_AFTER_POLLS = 2;
const WAITS = {
  worker: "no worker of the server is alive",
  resume: "jobs are paused on the server",
} as const;

type Part = z.output<typeof PartsAnswer>["missing"][number];

export interface PartsOptions extends SourceOptions {
  readonly deadlineMs: number;
  /** Wanted length of a part; undefined for the server's choice. */
  readonly partBytes: number;
  /** The branch to move to the mpack's last commit; without it none moves. */
  readonly branch?: string;
  /** Whether the branch may lose commits. */
  readonly force?: boolean;
}

/**
 * Uploads what the server lacks, and indexes it. Undefined if the repo has the mpack already and no
 * branch is to move. With one it is indexed again: its upload may have been indexed without.
 */
export async function pushInParts(
  source: Source,
  remote: Remote,
  options: PartsOptions,
): Promise<IndexResult | undefined> {
  const { mpackKey } = source, { branch, force } = options;
  const found = await uploadParts(source, remote, options);
  if (found === "known" && branch === undefined) return undefined;
  const complete = await remote.json(remote.pushUrl("mpack-complete"), { mpack_key: mpackKey });
  checkedAnswer(complete, CompleteAnswer);
  const asked = { mpack_key: mpackKey, ...(branch !== undefined && { branch, force }) };
  const answer = await remote.json(remote.pushUrl("unpack-mpack"), asked);
  if (answer.status !== 202) return resultOfAnswer(answer, mpackKey);
  const { job_id } = checkedAnswer(answer, AcceptedAnswer);
  return await followJob(remote, job_id, source, options);
}

async function uploadParts(
  source: Source,
  remote: Remote,
  options: PartsOptions,
): Promise<"known" | "uploaded"> {
  const { mpackKey, sizeBytes } = source, { partBytes, line, signal } = options;
  const wanted = { mpack_key: mpackKey, size_bytes: sizeBytes, part_bytes: partBytes };
  let idleRounds = 0, fewest = Infinity, failure: unknown;
  for (;;) {
    const answer = await remote.json(remote.pushUrl("mpack-presign"), wanted);
    const { already_indexed, parts } = checkedAnswer(answer, PresignAnswer);
    if (already_indexed) return "known";
    if (parts === undefined) {
      throw new ConfigError(`Cannot push to ${answer.origin}: it takes no uploads in parts`);
    }
    const { missing_count: missingCount, missing } = parts;
    if (missingCount === 0) return "uploaded";
    // A status proves nothing: only the server's list says that a part has arrived.
    idleRounds = missingCount < fewest ? 0 : idleRounds + 1;
    fewest = Math.min(fewest, missingCount);
    if (idleRounds === MAX_IDLE_ROUNDS) {
      const detail = `Cannot push ${mpackKey}: the store does not keep the parts that are sent`;
      throw failure ?? new StoreError("store-unavailable", detail);
    }
    if (idleRounds > 0) {
      line.clear();
      await sleep(500 * 2 ** idleRounds, signal);
    }
    const sentBytes = Math.max(0, sizeBytes - missingCount * parts.part_bytes);
    failure = await sendParts(source, missing, { ...options, sentBytes });
    const isTransient = failure instanceof MpackdError && failure.retryable;
    if (failure !== undefined && !isTransient) throw failure;
  }
}

/** Sends parts until one fails; returns its error. */
async function sendParts(
  source: Source,
  parts: readonly Part[],
  options: PartsOptions & { readonly sentBytes: number },
): Promise<unknown> {
  const { line, signal } = options, { sizeBytes } = source;
  const queue = [...parts];
  let bytes = options.sentBytes, failure: unknown;
  const onBytes = (count: number) =>
    line.show({ label: "push", bytes: Math.min(sizeBytes, bytes += count), sizeBytes });
  const work = async () => {
    for (let part; failure === undefined && (part = queue.shift()) !== undefined;) {
      try {
        await sendPart(source, part, { ...options, onBytes });
      } catch (error) {
        failure ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_PARTS }, work));
  signal.throwIfAborted();
  return failure;
}

async function sendPart(
  source: Source,
  { offset_bytes: offsetBytes, size_bytes: lengthBytes, upload_url, number }: Part,
  options: PartsOptions & { readonly onBytes: (count: number) => void },
): Promise<void> {
  if (!/^https?:\/\//.test(upload_url) || !URL.canParse(upload_url)) {
    throw new ConfigError(`Cannot push part ${number}: the server gave no URL for it`);
  }
  const url = new URL(upload_url), { onBytes } = options;
  await using reader = await source.body!({ offsetBytes, lengthBytes });
  const body = async function* () {
    for await (const chunk of iterateReader(reader)) {
      onBytes(chunk.length);
      yield chunk;
    }
  };
  // A bucket with Object Lock wants it, and any other one refuses bytes that changed on the way.
  const headers = new Headers({ "content-md5": await md5Of(source, { offsetBytes, lengthBytes }) });
  const { status } = await reach(
    url,
    options,
    (signal) =>
      sendBody(url, { method: "PUT", headers, body: body(), sizeBytes: lengthBytes, signal }),
  );
  if (status >= 200 && status < 300) return;
  const detail = `Cannot push part ${number}: ${url.origin} answered ${status}`;
  throw new StoreError("store-unavailable", detail, { status });
}

async function md5Of(
  source: Source,
  range: { readonly offsetBytes: number; readonly lengthBytes: number },
): Promise<string> {
  await using reader = await source.body!(range);
  return await contentMd5(iterateReader(reader));
}

/** Waits for the end of a job. */
async function followJob(
  remote: Remote,
  jobId: string,
  { mpackKey, sizeBytes }: Source,
  { line, signal }: PartsOptions,
): Promise<IndexResult> {
  for (let polls = 0, hasTold = false;; polls++) {
    const answer = await remote.json(remote.apiUrl(`/api/jobs/${encodeURIComponent(jobId)}`));
    const { status, result, lastError, waitsFor } = checkedAnswer(answer, OneJobAnswer.loose());
    if (status === "done") {
      return resultOfAnswer({ ...answer, value: snakeKeys(result) }, mpackKey);
    }
    if (status === "failed" || status === "cancelled") {
      const { code = "cancelled", message = `Cannot push: the job ${jobId} was cancelled` } =
        lastError ?? {};
      throw InvalidMpackError.recorded(code as MpackErrorCode, message);
    }
    if (waitsFor && polls >= TELL_AFTER_POLLS && !hasTold) {
      hasTold = true;
      line.clear();
      tell(`Job ${jobId} waits: ${WAITS[waitsFor]}. It stays in the queue, and may be left alone`);
    }
    line.show({ label: "index", bytes: 0, sizeBytes });
    await sleep(POLL_MS, signal);
  }
}

/** The names of the push routes' answers, from those under /api. */
function snakeKeys(value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeKeys(item),
    ]),
  );
}
