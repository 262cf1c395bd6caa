/**
 * Every setting of mpackd, in one place. Nothing else reads the environment.
 *
 * @module
 */

import { HTTP_SETTINGS } from "./http_settings.ts";
import { choice, integer, type Setting, text } from "./settings.ts";
import { DEFAULT_LIMITS, type MpackLimits } from "../stream/mpack/limits.ts";
import { DEFAULT_TIMEOUTS } from "../stream/store/timeouts.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const DAY_MS = 24 * 60 * 60 * 1000;

/** The settings by name. The order is the order in which people are shown them. */
export const SETTINGS = {
  databaseUrl: text({
    env: "DATABASE_URL",
    unit: "URL",
    range: "postgres://…",
    fallback: undefined,
    doc: "The PostgreSQL server (15 or newer); an embedded one when not set",
    isSecret: true,
  }),
  storeUrl: text({
    env: "MPACK_STORE",
    unit: "URL",
    range: "s3://bucket?endpoint=…&region=… or file:///folder",
    fallback: undefined,
    doc: "Where mpacks lie; the folder blobs under MPACK_HOME when not set",
  }),
  home: text({
    env: "MPACK_HOME",
    unit: "folder",
    fallback: "./.mpackd",
    doc: "Data of the embedded database and of the default store",
  }),
  accessKeyId: text({
    env: "AWS_ACCESS_KEY_ID",
    unit: "text",
    fallback: undefined,
    doc: "Access key of the S3 store",
  }),
  secretAccessKey: text({
    env: "AWS_SECRET_ACCESS_KEY",
    unit: "text",
    fallback: undefined,
    doc: "Secret key of the S3 store",
    isSecret: true,
  }),
  sessionToken: text({
    env: "AWS_SESSION_TOKEN",
    unit: "text",
    fallback: undefined,
    doc: "Session token, where the keys are temporary",
    isSecret: true,
  }),
  blobKey: text({
    env: "MPACK_BLOB_KEY",
    unit: "template",
    range: "has {mpack_key}",
    fallback: "mpacks/{repo_id}/{mpack_key}",
    doc: "Where in the store a repo's mpack lies; without {repo_id} the repos share their blobs",
    check: (value) => value.includes("{mpack_key}") ? undefined : `"${value}" has no {mpack_key}`,
  }),
  materialize: choice({
    env: "MPACK_MATERIALIZE",
    values: ["off", "on"],
    fallback: "off",
    doc:
      "Whether index also writes every object as a blob of its own, unless its job says otherwise",
  }),
  objectKey: text({
    env: "MPACK_OBJECT_KEY",
    unit: "template",
    range: "has {object_id}",
    fallback: "objects/{repo_id}/{object_id}",
    doc: "Where in the store a materialized object lies; {object_id} is sha256:<hex>",
    check: (value) => value.includes("{object_id}") ? undefined : `"${value}" has no {object_id}`,
  }),
  materializePuts: integer({
    env: "MPACK_MATERIALIZE_PUTS",
    unit: "blobs",
    min: 1,
    max: 1_000,
    fallback: 16,
    doc: "Materialized objects written at once by one job",
  }),
  materializeBytes: integer({
    env: "MPACK_MATERIALIZE_BYTES",
    unit: "bytes",
    min: MIB,
    max: GIB,
    fallback: 32 * MIB,
    doc: "Contents held by one job for the store to take, before the stream has to wait",
  }),
  hash: choice({
    env: "MPACK_HASH",
    values: ["wasm", "native"],
    fallback: "wasm",
    doc: "SHA-256 by hash-wasm (resumable) or by the runtime (faster, starts over when cut off)",
  }),
  batchRows: integer({
    env: "MPACK_BATCH_ROWS",
    unit: "rows",
    min: 1,
    max: 100_000,
    fallback: 5_000,
    doc: "Objects staged by one statement (and one chunk's more)",
  }),
  checkpointBytes: integer({
    env: "MPACK_CHECKPOINT_BYTES",
    unit: "bytes",
    min: MIB,
    max: GIB,
    fallback: 64 * MIB,
    doc: "A checkpoint is written at least every so many bytes of stream",
  }),
  checkpointMs: integer({
    env: "MPACK_CHECKPOINT_MS",
    unit: "ms",
    min: 100,
    max: 600_000,
    fallback: 10_000,
    doc: "A checkpoint is written at least every so many milliseconds of stream",
  }),
  leaseMs: integer({
    env: "MPACK_LEASE_MS",
    unit: "ms",
    min: 1_000,
    max: DAY_MS,
    fallback: 30_000,
    doc: "How long a job stays with a worker that says nothing",
  }),
  maxAttempts: integer({
    env: "MPACK_MAX_ATTEMPTS",
    unit: "attempts",
    min: 1,
    max: 1_000,
    fallback: 10,
    doc: "Attempts of a job before it fails for good",
  }),
  concurrency: integer({
    env: "MPACK_CONCURRENCY",
    unit: "jobs",
    min: 1,
    max: 1_000,
    fallback: 4,
    doc: "Jobs that one worker runs at once",
  }),
  perRepo: integer({
    env: "MPACK_PER_REPO",
    unit: "jobs",
    min: 1,
    max: 1_000_000,
    fallback: 2,
    doc: "Jobs of one repo that all workers together run at once",
  }),
  pollMs: integer({
    env: "MPACK_POLL_MS",
    unit: "ms",
    min: 10,
    max: 3_600_000,
    fallback: 5_000,
    doc: "A worker that nobody wakes looks at the queue at least so often",
  }),
  drainMs: integer({
    env: "MPACK_DRAIN_MS",
    unit: "ms",
    min: 0,
    max: DAY_MS,
    fallback: 20_000,
    doc: "How long running jobs may go on after SIGTERM, before they are given back",
  }),
  httpPort: integer({
    env: "MPACK_HTTP_PORT",
    unit: "port",
    min: 0,
    max: 65_535,
    fallback: 0,
    doc: "Where a worker answers /healthz, /readyz and /metrics; 0: nowhere",
  }),
  httpHost: text({
    env: "MPACK_HTTP_HOST",
    unit: "address",
    fallback: "127.0.0.1",
    doc: "The address it answers on; 0.0.0.0 for probes from outside",
  }),
  logLevel: choice({
    env: "MPACK_LOG_LEVEL",
    values: ["debug", "info", "warning", "error"],
    fallback: "info",
    doc: "What a worker logs: this and what is worse",
  }),
  databaseConnections: integer({
    env: "MPACK_DB_CONNECTIONS",
    unit: "connections",
    min: 1,
    max: 1_000,
    fallback: 4,
    doc: "Connections to the database at most (a worker: at least two more than its jobs)",
  }),
  databaseTimeoutMs: integer({
    env: "MPACK_DB_TIMEOUT_MS",
    unit: "ms",
    min: 100,
    max: DAY_MS,
    fallback: 30_000,
    doc: "Deadline of a statement",
  }),
  publishTimeoutMs: integer({
    env: "MPACK_PUBLISH_TIMEOUT_MS",
    unit: "ms",
    min: 1_000,
    max: DAY_MS,
    fallback: 3_600_000,
    doc: "Deadline of the statement that publishes a pack",
  }),
  gcGraceMs: integer({
    env: "MPACK_GC_GRACE_MS",
    unit: "ms",
    min: 60_000,
    max: 365 * DAY_MS,
    fallback: DAY_MS,
    doc: "How old a blob, a pack or a deleted repo must be before gc collects it",
  }),
  storeIdleMs: integer({
    env: "MPACK_STORE_IDLE_MS",
    unit: "ms",
    min: 100,
    max: 3_600_000,
    fallback: DEFAULT_TIMEOUTS.idleTimeoutMs,
    doc: "How long the store may send nothing before the connection is given up",
  }),
  storeRetries: integer({
    env: "MPACK_STORE_RETRIES",
    unit: "retries",
    min: 0,
    max: 100,
    fallback: DEFAULT_TIMEOUTS.retries,
    doc: "Failures in a row, with no byte in between, before the store counts as unavailable",
  }),
  maxPackBytes: limit(
    "MPACK_MAX_PACK_BYTES",
    "maxPackBytes",
    "bytes",
    1,
    16 * TIB,
    "Length of a pack",
  ),
  maxObjects: limit("MPACK_MAX_OBJECTS", "maxObjects", "objects", 0, 1e9, "Objects in a pack"),
  maxContentBytes: limit(
    "MPACK_MAX_CONTENT_BYTES",
    "maxContentBytes",
    "bytes",
    0,
    16 * TIB,
    "Length of an object",
  ),
  maxDepth: limit("MPACK_MAX_DEPTH", "maxDepth", "levels", 3, 1_000, "Containers in one another"),
  maxKeyBytes: limit(
    "MPACK_MAX_KEY_BYTES",
    "maxKeyBytes",
    "bytes",
    9,
    65_536,
    "Length of a key of the top map or of an object",
  ),
  maxKeys: limit(
    "MPACK_MAX_KEYS",
    "maxKeys",
    "keys",
    4,
    10_000,
    "Keys in the top map or an object",
  ),
  maxValueBytes: limit(
    "MPACK_MAX_VALUE_BYTES",
    "maxValueBytes",
    "bytes",
    1_024,
    4 * GIB,
    "Length of one value outside content",
  ),
  maxNodes: limit("MPACK_MAX_NODES", "maxNodes", "values", 1_000, 1e12, "Values outside objects"),
  maxOpenKeys: limit(
    "MPACK_MAX_OPEN_KEYS",
    "maxOpenKeys",
    "keys",
    1_000,
    1e8,
    "Keys of all maps open at once, up to 32 bytes of memory each",
  ),
  ...HTTP_SETTINGS,
} as const;

/** All settings with their values. */
export type Config = {
  readonly [K in keyof typeof SETTINGS]: (typeof SETTINGS)[K] extends Setting<infer T> ? T : never;
};

/**
 * Reads every setting from `env`.
 *
 * @throws {ConfigError} If a value is not acceptable; names the variable and what it takes.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const entries = Object.entries(SETTINGS).map(([name, setting]) => {
    const given = env[setting.env];
    // An empty variable is how compose files say "not set".
    const isSet = given !== undefined && given !== "";
    return [name, isSet ? setting.parse(given) : setting.fallback];
  });
  return Object.freeze(Object.fromEntries(entries));
}

const LIMIT_NAMES = Object.keys(DEFAULT_LIMITS) as (keyof MpackLimits)[];

/** The decoder's share of the settings. */
export function limitsOf(config: Config): MpackLimits {
  const limits: Record<string, number> = {};
  for (const name of LIMIT_NAMES) limits[name] = config[name];
  return limits as unknown as MpackLimits;
}

/** Where in the store a repo's mpack lies. */
export function blobKeyOf(template: string, repoId: string, mpackKey: string): string {
  return template.replaceAll("{repo_id}", () => repoId).replaceAll("{mpack_key}", () => mpackKey);
}

/** Where in the store a repo's materialized object lies; the id may lack its prefix. */
export function objectKeyOf(template: string, repoId: string, objectId: string): string {
  const name = objectId.startsWith("sha256:") ? objectId : `sha256:${objectId}`;
  return template.replaceAll("{repo_id}", () => repoId).replaceAll("{object_id}", () => name);
}

function limit(
  env: string,
  name: keyof MpackLimits,
  unit: string,
  min: number,
  max: number,
  doc: string,
): Setting<number> {
  return integer({ env, unit, min, max, fallback: DEFAULT_LIMITS[name], doc: `${doc} at most` });
}
