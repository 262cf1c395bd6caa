/** @jsxImportSource hono/jsx */
import {
  mergeFailures,
  mergeHours,
  mergeQueues,
  readFailures,
  readLastHour,
  readQueueNow,
  type Viewer,
} from "../../../db/activity.ts";
import { mergeUsage } from "../../../db/quotas/quotas.ts";
import { listWorkers, mergeWorkers } from "../../../db/workers.ts";
import { listJobs, mergeJobs } from "../../../jobs/queue/list_jobs.ts";
import type { Caller } from "../../auth/authenticate.ts";
import type { ApiContext } from "../../context.ts";
import { askEverywhere } from "../../shards/everywhere.ts";
import type { PageCall, PageMaker } from "../page.ts";
import { MOST_AT_LIMITS, Quotas, readAtLimits } from "../quotas.tsx";
import {
  bytesText,
  Chart,
  count,
  durationText,
  Figure,
  Id,
  jobHref,
  Status,
  Table,
  Time,
  Unreachable,
} from "../parts.tsx";

/** How many of the running jobs are shown. */
const RUNNING = 20;

const SERVICES = { database: "Database", store: "Store" };

/** What waits, runs and failed, and what was published in the last hour. */
export const overview: PageMaker = async ({ viewer, caller, context, reading }) => {
  const [services, { answers, unreachable }] = await Promise.all([
    caller.isAdmin ? readServices(context) : [],
    askEverywhere(context, viewer, readPlace(caller), { reading }),
  ]);
  const { queue, hour, failures, running, workers, atLimits } = mergePlaces(answers);
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const packs = hour.map((minute) => minute.packs);
  const objects = hour.map((minute) => minute.objects);
  const sizes = hour.map((minute) => minute.sizeBytes);
  return {
    title: "Overview",
    isLive: true,
    body: (
      <>
        <h1>Overview</h1>
        <Unreachable shards={unreachable} />
        <div class="figures">
          <Figure name="Waiting" href="/ui/jobs?status=pending">{count(queue.pending)}</Figure>
          <Figure name="Oldest waits" tone={queue.oldestMs > 600_000 ? "bad" : undefined}>
            {queue.pending === 0 ? "–" : durationText(queue.oldestMs)}
          </Figure>
          <Figure name="Running" href="/ui/jobs?status=running">{count(queue.running)}</Figure>
          <Figure
            name="Failed in a day"
            href="/ui/jobs?status=failed"
            tone={queue.failed > 0 ? "bad" : "good"}
          >
            {count(queue.failed)}
          </Figure>
          {caller.isAdmin && (
            <Figure name="Workers alive" tone={workers.length === 0 ? "bad" : undefined}>
              {count(workers.length)}
            </Figure>
          )}
          {services.map(([name, isWell]) => (
            <Figure name={name} tone={isWell ? "good" : "bad"}>
              {isWell ? "answers" : "is away"}
            </Figure>
          ))}
        </div>
        <div class="charts">
          <Chart name="Packs" values={packs} total={count(sum(packs))} />
          <Chart name="Objects" values={objects} total={count(sum(objects))} />
          <Chart name="Bytes" values={sizes} total={bytesText(sum(sizes))} />
        </div>
        {failures.length > 0 && (
          <>
            <h2>Failures of the last day</h2>
            <Table label="Failures by code" heads={["Code", "Jobs"]}>
              {failures.map(({ code, jobs }) => (
                <tr>
                  <td>
                    <a href={`/ui/jobs?status=failed&code=${encodeURIComponent(code)}`}>{code}</a>
                  </td>
                  <td>{count(jobs)}</td>
                </tr>
              ))}
            </Table>
          </>
        )}
        <Quotas title="Tenants at their limits" tenants={atLimits} />
        <h2>Running now</h2>
        {running.length === 0
          ? <p class="soft">Nothing runs.</p>
          : (
            <Table label="Running jobs" heads={["Job", "Type", "Since", "Progress", "Worker"]}>
              {running.map((job) => (
                <tr>
                  <td>
                    <Id id={job.jobId} href={jobHref(job.jobId)} />
                  </td>
                  <td>{job.jobType}</td>
                  <td>
                    <Time at={job.startedAt} />
                  </td>
                  <td>{progressText(job.progress)}</td>
                  <td>{caller.isAdmin ? job.lockedBy : "–"}</td>
                </tr>
              ))}
            </Table>
          )}
        {caller.isAdmin && (
          <>
            <h2>Workers</h2>
            {workers.length === 0
              ? (
                <p class="problem">
                  No worker was alive in the last minute. Start one: mpackd worker
                </p>
              )
              : (
                <Table label="Workers" heads={["Worker", "Version", "Jobs", "Started", "Seen", ""]}>
                  {workers.map((worker) => (
                    <tr>
                      <td>{worker.worker}</td>
                      <td>{worker.version}</td>
                      <td>{`${worker.running} of ${worker.concurrency}`}</td>
                      <td>
                        <Time at={worker.startedAt} />
                      </td>
                      <td>
                        <Time at={worker.seenAt} />
                      </td>
                      <td>{worker.isDraining ? <Status status="draining" /> : ""}</td>
                    </tr>
                  ))}
                </Table>
              )}
          </>
        )}
      </>
    ),
  };
};

/** Reads what one shard has to say. */
function readPlace({ isAdmin }: Caller) {
  return async (context: ApiContext, viewer: Viewer | undefined) => {
    const { db } = context;
    const [queue, hour, failures, running, workers, atLimits] = await Promise.all([
      readQueueNow(db, viewer),
      readLastHour(db, viewer),
      readFailures(db, viewer),
      listJobs(db, { status: "running", visibleTo: viewer, limit: RUNNING }),
      isAdmin ? listWorkers(db) : [],
      readAtLimits({ viewer, context }),
    ]);
    return { queue, hour, failures, running, workers, atLimits };
  };
}

type Place = Awaited<ReturnType<ReturnType<typeof readPlace>>>;

/** Puts together what the shards say. */
function mergePlaces(places: readonly Place[]): Place {
  if (places.length === 1) return places[0];
  return {
    queue: mergeQueues(places.map(({ queue }) => queue)),
    hour: mergeHours(places.map(({ hour }) => hour)),
    failures: mergeFailures(places.map(({ failures }) => failures)),
    running: mergeJobs(places.map(({ running }) => running), RUNNING),
    workers: mergeWorkers(places.map(({ workers }) => workers)),
    atLimits: mergeUsage(places.map(({ atLimits }) => atLimits), MOST_AT_LIMITS),
  };
}

/** Whether database and store answer, as `/readyz` says. */
async function readServices({ probes }: PageCall["context"]): Promise<[string, boolean][]> {
  const answer = await probes(new Request("http://localhost/readyz"));
  const { checks = {} } = answer === undefined ? {} : JSON.parse(answer.body as string);
  return Object.entries(SERVICES).filter(([name]) => name in checks)
    .map(([name, shown]) => [shown, checks[name]]);
}

/** `45% of 1.2 GB`, as far as a job has said. */
export function progressText(progress: unknown): string {
  const { bytes, size_bytes: sizeBytes } = (progress ?? {}) as Record<string, unknown>;
  if (typeof bytes !== "number" || typeof sizeBytes !== "number" || sizeBytes <= 0) return "–";
  return `${Math.floor(100 * bytes / sizeBytes)}% of ${bytesText(sizeBytes)}`;
}
