/**
 * Sends one delivery: signed, to an address that was checked, and without following redirects.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { Webhook } from "standardwebhooks";
import type { ClaimedDelivery, DeliveryAttempt } from "../../db/webhooks/deliveries.ts";
import { orAborted } from "../../lib/abort.ts";
import { redact } from "../../lib/redact.ts";
import { retryAfterMs } from "../../lib/retry_after.ts";
import { type Address, findAddresses, hostOf, type ReceiverRules } from "./receiver.ts";

/** The time for one attempt, from the resolver's answer to the end of the receiver's. */
const DEADLINE_MS = 15_000;
/** So much of an answer is read, and the first of it kept. */
const MAX_ANSWER_BYTES = 64 * 1024;
const KEPT_BYTES = 500;
/** All that a receiver may send, heads and framing included; looked at this often. */
const MAX_WIRE_BYTES = 1024 * 1024, LOOK_MS = 50;
/** Answers of 1xx before the answer. */
const MAX_INTERIM = 4;

/** How to send. */
export interface SendOptions extends ReceiverRules {
  /** Fires when the worker stops. */
  readonly signal: AbortSignal;
  /** Milliseconds for the whole attempt. Default 15,000. */
  readonly deadlineMs?: number;
  /** Certificates of authorities to trust instead of the system's, PEM. */
  readonly ca?: string;
}

/** An attempt, and what the receiver asked for. */
export interface Sent extends DeliveryAttempt {
  /** Its Retry-After. */
  readonly retryAfterMs?: number;
}

/**
 * Makes one attempt. Never throws: every error is part of the attempt.
 *
 * @see {@link https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md}
 */
export async function sendWebhook(
  { deliveryId, payload, url: text, secrets }: ClaimedDelivery,
  options: SendOptions,
): Promise<Sent> {
  const { signal: stop, deadlineMs = DEADLINE_MS } = options;
  const startedAt = performance.now();
  const timeUp = AbortSignal.timeout(deadlineMs), signal = AbortSignal.any([stop, timeUp]);
  const elapsed = () => Math.round(performance.now() - startedAt);
  try {
    const url = new URL(text);
    const addresses = await orAborted(reachable(url, options), signal);
    const body = Buffer.from(payload), sentAt = new Date();
    const headers = {
      "host": url.host,
      "content-type": "application/json",
      "content-length": body.length,
      "user-agent": "mpackd-webhooks",
      "webhook-id": deliveryId,
      "webhook-timestamp": Math.floor(sentAt.getTime() / 1000),
      "webhook-signature": secrets.map((secret) =>
        new Webhook(secret).sign(deliveryId, sentAt, payload)
      ).join(" "),
    };
    const answer = await post({ url, addresses, headers, body, ca: options.ca, signal });
    const { status, text: answerText, retryAfter } = answer;
    const isGood = status >= 200 && status < 300;
    const error = isGood
      ? null
      : status >= 300 && status < 400
      ? `it answered ${status}, and redirects are not followed`
      : `it answered ${status}`;
    const waitMs = retryAfterMs(retryAfter);
    return {
      status,
      duration_ms: elapsed(),
      answer: answerText,
      error,
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    };
  } catch (error) {
    const why = timeUp.aborted
      ? `no answer within ${deadlineMs} ms`
      : redact((error as Error).message || String(error)).slice(0, 300);
    return { status: null, duration_ms: elapsed(), answer: null, error: why };
  }
}

/** Deno would ask on a terminal, and wait for somebody to answer. */
function mayConnect(host: string): boolean {
  return Deno.permissions.querySync({ name: "net", host }).state === "granted";
}

/**
 * Finds the addresses that were checked and that this process may connect to. Where it may not,
 * Deno's node:net throws from a callback, which nobody could catch.
 */
async function reachable(url: URL, options: SendOptions): Promise<readonly Address[]> {
  const host = hostOf(url),
    lacks = (what: string) =>
      new Error(`the worker may not connect there: it lacks --allow-net=${what}`);
  if (isIP(host) === 0 && !mayConnect(host)) throw lacks(host);
  const port = portOf(url);
  const addresses = await findAddresses(url, options);
  const placeOf = ({ address, family }: Address) =>
    `${family === 6 ? `[${address}]` : address}:${port}`;
  const allowed = addresses.filter((address) => mayConnect(placeOf(address)));
  if (allowed.length === 0) throw lacks(placeOf(addresses[0]));
  return allowed;
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === "https:" ? "443" : "80");
}

interface Post {
  readonly url: URL;
  readonly addresses: readonly Address[];
  readonly headers: Record<string, string | number>;
  readonly body: Buffer;
  readonly ca: string | undefined;
  readonly signal: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | null;
}

function post({ url, addresses, headers, body, ca, signal }: Post): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const isTls = url.protocol === "https:", host = hostOf(url);
    const request: ClientRequest = (isTls ? httpsRequest : httpRequest)({
      method: "POST",
      host,
      port: portOf(url),
      path: `${url.pathname}${url.search}`,
      headers,
      signal,
      // A connection of its own, made to a checked address, for the name in the URL.
      agent: false,
      lookup: pinned(addresses),
      ...(isTls && ca !== undefined ? { ca } : {}),
    });
    // What the parser swallows (interim answers, chunk extensions) reaches no other listener.
    let interim = 0;
    request.on("information", () => {
      if (++interim > MAX_INTERIM) request.destroy(new Error("it sent too many interim answers"));
    });
    const looking = setInterval(() => {
      const bytesRead = request.socket?.bytesRead ?? 0;
      if (bytesRead > MAX_WIRE_BYTES) request.destroy(new Error("it sent too much"));
    }, LOOK_MS);
    request.on("close", () => clearInterval(looking));
    request.on("error", reject);
    request.on("response", (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const done = () => {
        resolve({
          status: response.statusCode ?? 0,
          text: textOf(Buffer.concat(chunks).subarray(0, KEPT_BYTES)),
          retryAfter: String(response.headers["retry-after"] ?? "") || null,
        });
        request.destroy();
      };
      response.on("data", (chunk: Buffer) => {
        if (bytes < KEPT_BYTES) chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) done();
      });
      response.on("end", done);
      response.on("error", reject);
    });
    request.end(body);
  });
}

/** Answers a connection's lookup with the addresses that were checked. */
function pinned(addresses: readonly Address[]): LookupFunction {
  return (_host, options, done) => {
    if (options.all) done(null, [...addresses]);
    else done(null, addresses[0].address, addresses[0].family);
  };
}

/** Bytes of a stranger as text that can be stored and shown. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replaceAll(/(?![\n\t])\p{Cc}/gu, "�");
}
