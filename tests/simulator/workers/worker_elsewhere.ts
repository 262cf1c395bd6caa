/**
 * A worker in a process of its own, with real signals and perhaps a wrong clock.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import type { Bucket } from "../stores.ts";
import type { Tally } from "../tally.ts";
import type { SimWorker } from "./worker_here.ts";

const SKEW = fileURLToPath(new URL("skew.ts", import.meta.url));
/** By worker. A signed request that is off by an hour is refused by an engine that looks. */
const SKEWS_MS = [0, -120_000, 0, 120_000, 3_600_000];
const NO_DATABASE = 4;
const DRAIN_LIMIT_MS = 30_000;

/** What a worker process is made of. */
export interface RealWorkerOptions {
  /** Its name. */
  readonly name: string;
  /** Its settings. */
  readonly env: Readonly<Record<string, string>>;
  /** The database. */
  readonly databaseUrl: string;
  /** The store, … */
  readonly bucket: Bucket;
  /** … and where its faults are. */
  readonly endpoint: string;
  /** Hears what it does. */
  readonly tally: Tally;
}

/** Starts one. */
export function startRealWorker(options: RealWorkerOptions): SimWorker {
  const { name, databaseUrl, bucket, endpoint, tally } = options;
  const { bucket: bucketName, region, accessKeyId, secretAccessKey } = bucket.options;
  const skewMs = SKEWS_MS[Number(name.slice(1)) % SKEWS_MS.length];
  if (skewMs !== 0) tally.fault("clock skewed", `${name} by ${skewMs / 1000} s`);
  const start = () =>
    startWorkerProcess({
      databaseUrl,
      folder: Deno.cwd(),
      preload: SKEW,
      env: {
        ...options.env,
        MPACK_STORE: `s3://${bucketName}?endpoint=${endpoint}&region=${region}`,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        MPACKD_SIMULATE_SKEW_MS: String(skewMs),
      },
    });
  const problems: string[] = [];
  let worker = start(), isStopped = false, isEnding = false;
  const supervise = async () => {
    // One that finds no database when it starts ends with 4, and is started again.
    while ((await worker.status).code === NO_DATABASE && !isEnding) worker = start();
  };
  supervise();
  const end = async () => {
    for (const line of worker.lines) {
      if (/ rescued, /.test(line.message)) tally.rescues++;
      tally.note(`${name}: ${line.message} ${line.job_id?.slice(7, 15) ?? ""}`);
    }
    await worker[Symbol.asyncDispose]();
  };
  const signal = (what: Deno.Signal) => worker.kill(what);
  return {
    name,
    claimed: worker.line(({ message }) => / claimed, /.test(message)).then(() => {}),
    async kill() {
      isEnding = true;
      signal("SIGKILL");
      await worker.status;
      await end();
    },
    stop() {
      isStopped = true;
      signal("SIGSTOP");
    },
    continue() {
      if (isStopped) signal("SIGCONT");
      isStopped = false;
    },
    async drain() {
      isEnding = true;
      signal("SIGTERM");
      const timer = setTimeout(() => {
        problems.push(`${name} did not end in ${DRAIN_LIMIT_MS} ms`);
        signal("SIGKILL");
      }, DRAIN_LIMIT_MS);
      const status = await worker.status;
      clearTimeout(timer);
      // Told before it could listen, it ends by the signal itself.
      if (![0, NO_DATABASE].includes(status.code) && status.signal !== "SIGTERM") {
        const said = worker.lines.slice(-5).map(({ message }) => message).join("\n");
        problems.push(`${name} ended with ${status.signal ?? status.code}: ${said}`);
      }
      await end();
    },
    problems: () => problems,
  };
}
