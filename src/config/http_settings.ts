/**
 * The settings of the HTTP API.
 *
 * @module
 */

import { integer, text } from "./settings.ts";

const MIB = 1024 * 1024;
const DAY_MS = 24 * 60 * 60 * 1000;

/** The settings by name, in the order in which people are shown them. */
export const HTTP_SETTINGS = {
  httpUrl: text({
    env: "MPACK_HTTP_URL",
    unit: "URL",
    range: "http://… or https://…",
    fallback: undefined,
    doc: "How clients reach the HTTP API, where a proxy changes host or scheme",
    check: (value) =>
      /^https?:/.test(value) && URL.canParse(value) ? undefined : `"${value}" is no URL`,
  }),
  httpBodyBytes: integer({
    env: "MPACK_HTTP_BODY_BYTES",
    unit: "bytes",
    min: 1024,
    max: 1024 * MIB,
    fallback: 8 * MIB,
    doc: "Length of a request's body at most, unless the body is a pack",
  }),
  httpIds: integer({
    env: "MPACK_HTTP_IDS",
    unit: "ids",
    min: 1,
    max: 1_000_000,
    fallback: 50_000,
    doc: "Ids in one request at most",
  }),
  httpIdleMs: integer({
    env: "MPACK_HTTP_IDLE_MS",
    unit: "ms",
    min: 100,
    max: DAY_MS,
    fallback: 30_000,
    doc: "How long a client may send nothing, or take nothing, before it is cut off",
  }),
  httpTotalMs: integer({
    env: "MPACK_HTTP_TOTAL_MS",
    unit: "ms",
    min: 1_000,
    max: 7 * DAY_MS,
    fallback: 3_600_000,
    doc: "How long one request may take, bodies included",
  }),
  httpWaitMs: integer({
    env: "MPACK_HTTP_WAIT_MS",
    unit: "ms",
    min: 0,
    max: DAY_MS,
    fallback: 60_000,
    doc: "How long unpack-mpack waits for its job before it answers 202",
  }),
  httpUploads: integer({
    env: "MPACK_HTTP_UPLOADS",
    unit: "uploads",
    min: 1,
    max: 100_000,
    fallback: 16,
    doc: "Uploads of one identity that run at once on one server",
  }),
  httpRequestsPerMinute: integer({
    env: "MPACK_HTTP_REQUESTS_PER_MINUTE",
    unit: "requests",
    min: 1,
    max: 100_000_000,
    fallback: 6_000,
    doc: "Requests a minute of one identity, or of one address without, on one server",
  }),
  httpPresignSeconds: integer({
    env: "MPACK_HTTP_PRESIGN_SECONDS",
    unit: "seconds",
    min: 1,
    max: 604_800,
    fallback: 3_600,
    doc: "How long an upload URL works",
  }),
  httpSignatureMs: integer({
    env: "MPACK_HTTP_SIGNATURE_MS",
    unit: "ms",
    min: 1_000,
    max: DAY_MS,
    fallback: 300_000,
    doc: "How old a request's signature may be",
  }),
} as const;
