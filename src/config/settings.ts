/**
 * Every setting of mpackd, a row each. Nothing else reads the environment.
 *
 * @module
 */

import { checkRange } from "../lib/addresses.ts";
import { DEFAULT_LIMITS as LIMITS, type MpackLimits } from "../stream/mpack/limits.ts";
import { DEFAULT_TIMEOUTS } from "../stream/store/timeouts.ts";
import { checkLimits } from "./quotas.ts";
import { choice, integer, type Setting, text } from "./setting.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const MPACK_TEMPLATE = has("{mpack_key}");
const OBJECT_TEMPLATE = has("{object_id}");
const ADDRESSES = {
  range: "10.0.0.1, 10.1.0.0/16, …",
  check: (list: string) =>
    list.split(",").map((item) => item.trim()).filter(Boolean).map(checkRange)
      .find((fault) => fault !== undefined),
};
const QUOTA = { range: "bytes=10GiB objects=… packs=… pushes=…", check: checkLimits };

/** The value of each setting. {@link SETTINGS} says what it is for. */
export type Config = MpackLimits & {
  readonly databaseUrl: string | undefined;
  readonly databaseReplicaUrl: string | undefined;
  readonly databaseConnections: number;
  readonly databaseTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly storeUrl: string | undefined;
  readonly home: string;
  readonly configHome: string | undefined;
  readonly accessKeyId: string | undefined;
  readonly secretAccessKey: string | undefined;
  readonly sessionToken: string | undefined;
  readonly blobKey: string;
  readonly storeIdleMs: number;
  readonly storeRetries: number;
  readonly hash: "auto" | "simd" | "wasm" | "native";
  readonly libcrypto: string | undefined;
  readonly batchRows: number;
  readonly checkpointBytes: number;
  readonly checkpointMs: number;
  readonly materialize: "off" | "on";
  readonly objectKey: string;
  readonly materializePuts: number;
  readonly materializeBytes: number;
  readonly leaseMs: number;
  readonly maxAttempts: number;
  readonly concurrency: number;
  readonly perRepo: number;
  readonly pollMs: number;
  readonly drainMs: number;
  readonly httpPort: number;
  readonly httpHost: string;
  readonly logLevel: "debug" | "info" | "warning" | "error";
  readonly webhookAllow: string | undefined;
  readonly gcGraceMs: number;
  readonly gcMaxPercent: number;
  readonly ownerQuota: string | undefined;
  readonly repoQuota: string | undefined;
  readonly httpUrl: string | undefined;
  readonly httpProxies: string | undefined;
  readonly httpForwarded: "x-forwarded-for" | "forwarded";
  readonly httpBodyBytes: number;
  readonly httpBodiesBytes: number;
  readonly httpMinBytesPerSecond: number;
  readonly httpIds: number;
  readonly httpIdleMs: number;
  readonly httpHeadMs: number;
  readonly httpConnections: number;
  readonly httpConnectionsPerAddress: number;
  readonly httpTotalMs: number;
  readonly httpWaitMs: number;
  readonly httpUploads: number;
  readonly httpPushConnections: number;
  readonly httpRequestsPerMinute: number;
  readonly httpPresignSeconds: number;
  readonly httpSignatureMs: number;
};

/** The settings by name, in the order in which they are listed. */
export const SETTINGS: { readonly [Name in keyof Config]: Setting<Config[Name]> } = {
  // The database.
  databaseUrl: text("DATABASE_URL", undefined, "URL", { range: "postgres://…", isSecret: true })
    .doc("The PostgreSQL server, version 15 or newer. Not set: an embedded server"),
  databaseReplicaUrl: text("DATABASE_REPLICA_URL", undefined, "URL", {
    range: "postgres://…",
    isSecret: true,
  })
    .doc("A standby of that server, for reads of serve's clients that allow it"),
  databaseConnections: integer("MPACK_DB_CONNECTIONS", 4, "connections", [1, 1_000])
    .doc("The most database connections. A worker uses at least two more than its jobs"),
  databaseTimeoutMs: integer("MPACK_DB_TIMEOUT_MS", 30_000, "ms", [100, DAY_MS])
    .doc("Deadline of one statement"),
  publishTimeoutMs: integer("MPACK_PUBLISH_TIMEOUT_MS", HOUR_MS, "ms", [1_000, DAY_MS])
    .doc("Deadline of the statement that publishes an mpack"),

  // The store.
  storeUrl: text("MPACK_STORE", undefined, "URL", {
    range: "s3://bucket?endpoint=…&region=… or file:///folder",
  })
    .doc("Where mpacks are stored. Not set: the folder blobs under MPACK_HOME"),
  home: text("MPACK_HOME", "./.mpackd", "folder")
    .doc("Folder of the embedded database and of the default store"),
  configHome: text("XDG_CONFIG_HOME", undefined, "folder")
    .doc("Its mpackd/remotes.json has what login and remote save. Not set: ~/.config"),
  accessKeyId: text("AWS_ACCESS_KEY_ID", undefined, "text")
    .doc("Access key of the S3 store. Without both keys they are looked for as docs/s3.md says"),
  secretAccessKey: text("AWS_SECRET_ACCESS_KEY", undefined, "text", { isSecret: true })
    .doc("Secret key of the S3 store"),
  sessionToken: text("AWS_SESSION_TOKEN", undefined, "text", { isSecret: true })
    .doc("Session token of temporary S3 keys"),
  blobKey: text("MPACK_BLOB_KEY", "mpacks/{repo_id}/{mpack_key}", "template", MPACK_TEMPLATE)
    .doc("The store key of a repo's mpack. Without {repo_id} all repos share their blobs"),
  storeIdleMs: integer("MPACK_STORE_IDLE_MS", DEFAULT_TIMEOUTS.idleTimeoutMs, "ms", [100, HOUR_MS])
    .doc("The connection is dropped when the store sends nothing for this long"),
  storeRetries: integer("MPACK_STORE_RETRIES", DEFAULT_TIMEOUTS.retries, "retries", [0, 100])
    .doc("The store counts as unavailable after this many failed retries with no byte received"),

  // Indexing.
  hash: choice("MPACK_HASH", "simd", ["simd", "wasm", "native", "auto"])
    .doc("SHA-256 engine: simd and wasm (slower) resume after an interruption, native starts over"),
  libcrypto: text("MPACK_LIBCRYPTO", undefined, "path")
    .doc("File of OpenSSL's libcrypto: native resumes with it, but needs --allow-ffi"),
  batchRows: integer("MPACK_BATCH_ROWS", 5_000, "rows", [1, 100_000])
    .doc("Objects staged by one statement. The last chunk read may add some more"),
  checkpointBytes: integer("MPACK_CHECKPOINT_BYTES", 64 * MIB, "bytes", [MIB, GIB])
    .doc("The most bytes read between two checkpoints"),
  checkpointMs: integer("MPACK_CHECKPOINT_MS", 10_000, "ms", [100, 10 * MINUTE_MS])
    .doc("The most time between two checkpoints"),
  materialize: choice("MPACK_MATERIALIZE", "off", ["off", "on"])
    .doc("Whether index also stores each object as a blob. A job's payload may override it"),
  objectKey: text("MPACK_OBJECT_KEY", "objects/{repo_id}/{object_id}", "template", OBJECT_TEMPLATE)
    .doc("The store key of a materialized object; {object_id} is sha256:<hex>"),
  materializePuts: integer("MPACK_MATERIALIZE_PUTS", 16, "blobs", [1, 1_000])
    .doc("Objects that one job materializes at the same time"),
  materializeBytes: integer("MPACK_MATERIALIZE_BYTES", 32 * MIB, "bytes", [MIB, GIB])
    .doc("Contents that one job keeps in memory for the store. The stream waits when it is full"),

  // Jobs and workers.
  leaseMs: integer("MPACK_LEASE_MS", 30_000, "ms", [1_000, DAY_MS])
    .doc("Another worker may take a job whose worker has been silent for this long"),
  maxAttempts: integer("MPACK_MAX_ATTEMPTS", 10, "attempts", [1, 1_000])
    .doc("Attempts before a job fails for good"),
  concurrency: integer("MPACK_CONCURRENCY", 4, "jobs", [1, 1_000])
    .doc("Jobs that one worker runs at the same time"),
  perRepo: integer("MPACK_PER_REPO", 2, "jobs", [1, 1_000_000])
    .doc("Jobs of one repo that all workers together run at the same time"),
  pollMs: integer("MPACK_POLL_MS", 5_000, "ms", [10, HOUR_MS])
    .doc("The longest time between two looks at the queue when no notification arrives"),
  drainMs: integer("MPACK_DRAIN_MS", 20_000, "ms", [0, DAY_MS])
    .doc("Running jobs may continue for this long after SIGTERM before they are released"),
  httpPort: integer("MPACK_HTTP_PORT", 0, "port", [0, 65_535])
    .doc("A port for /healthz, /readyz and /metrics alone, of worker and serve. 0: none"),
  httpHost: text("MPACK_HTTP_HOST", "127.0.0.1", "address")
    .doc("The address of that port. 0.0.0.0 accepts probes from other machines"),
  logLevel: choice("MPACK_LOG_LEVEL", "info", ["debug", "info", "warning", "error"])
    .doc("The least severe records that worker and serve log"),
  webhookAllow: text("MPACK_WEBHOOK_ALLOW", undefined, "addresses", ADDRESSES)
    .doc(
      "Addresses besides public ones that webhooks may reach, over http: too. The same for serve",
    ),

  // Maintenance.
  gcGraceMs: integer("MPACK_GC_GRACE_MS", DAY_MS, "ms", [MINUTE_MS, 365 * DAY_MS])
    .doc("gc collects a blob, an mpack or a deleted repo only when it is older than this"),
  gcMaxPercent: integer("MPACK_GC_MAX_PERCENT", 50, "percent", [0, 100])
    .doc("gc refuses to delete more than this share of the store's bytes at once without --force"),

  // Quotas of tenants that have none of their own.
  ownerQuota: text("MPACK_OWNER_QUOTA", undefined, "limits", QUOTA)
    .doc("What an owner's repos may have together, and their pushes an hour. Not set: unlimited"),
  repoQuota: text("MPACK_REPO_QUOTA", undefined, "limits", QUOTA)
    .doc("What one repo may have, and its pushes an hour. Not set: unlimited"),

  // Limits of one mpack.
  maxPackBytes: integer("MPACK_MAX_PACK_BYTES", LIMITS.maxPackBytes, "bytes", [1, 16 * TIB])
    .doc("The largest mpack"),
  maxObjects: integer("MPACK_MAX_OBJECTS", LIMITS.maxObjects, "objects", [0, 1e9])
    .doc("The most objects in an mpack"),
  maxContentBytes: integer("MPACK_MAX_CONTENT_BYTES", LIMITS.maxContentBytes, "bytes", [
    0,
    16 * TIB,
  ])
    .doc("The largest object"),
  maxDepth: integer("MPACK_MAX_DEPTH", LIMITS.maxDepth, "levels", [3, 1_000])
    .doc("The deepest nesting of maps and arrays"),
  maxKeyBytes: integer("MPACK_MAX_KEY_BYTES", LIMITS.maxKeyBytes, "bytes", [9, 65_536])
    .doc("The longest key of the top map or of an object"),
  maxKeys: integer("MPACK_MAX_KEYS", LIMITS.maxKeys, "keys", [4, 10_000])
    .doc("The most keys in the top map or in an object"),
  maxValueBytes: integer("MPACK_MAX_VALUE_BYTES", LIMITS.maxValueBytes, "bytes", [1_024, 4 * GIB])
    .doc("The largest value outside content"),
  maxNodes: integer("MPACK_MAX_NODES", LIMITS.maxNodes, "values", [1_000, 1e12])
    .doc("The most values outside objects"),
  maxOpenKeys: integer("MPACK_MAX_OPEN_KEYS", LIMITS.maxOpenKeys, "keys", [1_000, 1e8])
    .doc("The most keys of all maps that are open at once. Each takes up to 32 bytes of memory"),
  maxCommits: integer("MPACK_MAX_COMMITS", LIMITS.maxCommits, "commits", [0, 1e9])
    .doc("The most commits in an mpack"),
  maxSnapshots: integer("MPACK_MAX_SNAPSHOTS", LIMITS.maxSnapshots, "snapshots", [0, 1e9])
    .doc("The most snapshots in an mpack"),
  maxMessageBytes: integer("MPACK_MAX_MESSAGE_BYTES", LIMITS.maxMessageBytes, "bytes", [0, GIB])
    .doc("The longest message of a commit"),
  maxAnnotationBytes: integer("MPACK_MAX_ANNOTATION_BYTES", LIMITS.maxAnnotationBytes, "bytes", [
    0,
    GIB,
  ])
    .doc("The most metadata and reviewers of a commit"),
  maxPathBytes: integer("MPACK_MAX_PATH_BYTES", LIMITS.maxPathBytes, "bytes", [1, 65_536])
    .doc("The longest path in a snapshot"),
  maxUnsortedManifestBytes: integer(
    "MPACK_MAX_UNSORTED_MANIFEST_BYTES",
    LIMITS.maxUnsortedManifestBytes,
    "bytes",
    [1_024, GIB],
  )
    .doc("The largest manifest that may come unsorted: 66 bytes and a path for each file"),
  maxManifestBytes: integer("MPACK_MAX_MANIFEST_BYTES", LIMITS.maxManifestBytes, "bytes", [
    1_024,
    GIB,
  ])
    .doc("The largest manifest of a snapshot that is sent as a delta, counted likewise"),

  // The HTTP API.
  httpUrl: text("MPACK_HTTP_URL", undefined, "URL", {
    range: "http://… or https://…",
    check: (url) => /^https?:/.test(url) && URL.canParse(url) ? undefined : `"${url}" is no URL`,
  })
    .doc("The URL of the HTTP API as clients see it, if a proxy changes host or scheme"),
  httpProxies: text("MPACK_HTTP_PROXIES", undefined, "addresses", ADDRESSES)
    .doc("Proxies, whose own connections are not capped per address, and who name their clients"),
  httpForwarded: choice("MPACK_HTTP_FORWARDED", "x-forwarded-for", ["x-forwarded-for", "forwarded"])
    .doc("The header field in which these proxies name the client. They must set it themselves"),
  httpBodyBytes: integer("MPACK_HTTP_BODY_BYTES", 8 * MIB, "bytes", [1_024, GIB])
    .doc("The largest request body, except for an mpack"),
  httpBodiesBytes: integer("MPACK_HTTP_BODIES_BYTES", 64 * MIB, "bytes", [1 * MIB, 64 * GIB])
    .doc("All request bodies in memory at once, packs excepted; one client may use a quarter"),
  httpMinBytesPerSecond: integer("MPACK_HTTP_MIN_RATE", 16_384, "bytes/s", [1, 1e9])
    .doc("A body that comes more slowly than this on average is cut, after MPACK_HTTP_IDLE_MS"),
  httpIds: integer("MPACK_HTTP_IDS", 200_000, "ids", [1, 1_000_000])
    .doc("The most ids in one request"),
  httpIdleMs: integer("MPACK_HTTP_IDLE_MS", 30_000, "ms", [100, DAY_MS])
    .doc("A client that sends or takes nothing for this long is disconnected"),
  httpHeadMs: integer("MPACK_HTTP_HEAD_MS", 10_000, "ms", [100, DAY_MS])
    .doc("The longest time from a new connection to the end of its first request's head"),
  httpConnections: integer("MPACK_HTTP_CONNECTIONS", 1_024, "connections", [8, 1e6])
    .doc("Connections at once on one server; at most half of the files it may open"),
  httpConnectionsPerAddress: integer(
    "MPACK_HTTP_CONNECTIONS_PER_ADDRESS",
    256,
    "connections",
    [1, 1e6],
  )
    .doc("Connections of one address at once on one server, and its requests at once"),
  httpTotalMs: integer("MPACK_HTTP_TOTAL_MS", HOUR_MS, "ms", [1_000, 7 * DAY_MS])
    .doc("The longest time for one request, bodies included"),
  httpWaitMs: integer("MPACK_HTTP_WAIT_MS", MINUTE_MS, "ms", [0, DAY_MS])
    .doc("unpack-mpack answers 202 if its job takes longer than this"),
  httpUploads: integer("MPACK_HTTP_UPLOADS", 16, "uploads", [1, 100_000])
    .doc("Concurrent uploads of one identity on one server"),
  httpPushConnections: integer("MPACK_HTTP_PUSH_CONNECTIONS", 8, "connections", [2, 1_000])
    .doc("Database connections of pushes, apart from those of reads. One client gets half of them"),
  httpRequestsPerMinute: integer("MPACK_HTTP_REQUESTS_PER_MINUTE", 6_000, "requests", [1, 1e8])
    .doc("Requests per minute of one identity, or of one address without an identity, per server"),
  httpPresignSeconds: integer("MPACK_HTTP_PRESIGN_SECONDS", 3_600, "seconds", [1, 604_800])
    .doc("How long an upload URL is valid"),
  httpSignatureMs: integer("MPACK_HTTP_SIGNATURE_MS", 5 * MINUTE_MS, "ms", [1_000, DAY_MS])
    .doc("The oldest request signature that is accepted"),
};

/** A template must contain `placeholder`. */
function has(placeholder: string) {
  const check = (value: string) =>
    value.includes(placeholder) ? undefined : `"${value}" has no ${placeholder}`;
  return { range: `has ${placeholder}`, check };
}
