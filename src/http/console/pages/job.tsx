/** @jsxImportSource hono/jsx */
import { resultForTenant, resultOf } from "../../../jobs/index/result.ts";
import type { JobRow } from "../../../jobs/queue/job.ts";
import { listAttempts } from "../../../jobs/attempt/list_attempts.ts";
import { warningText } from "../../../lib/text/pack_warnings.ts";
import { publicError } from "../../problem.ts";
import { findJobOrStray } from "../../shards/everywhere.ts";
import { adviceFor } from "../advice.ts";
import type { PageMaker } from "../page.ts";
import { Bar, durationText, Facts, mpackKeyOf, Status, Table, Time } from "../parts.tsx";
import { progressText } from "./overview.tsx";

/** One job: what it was asked, how it goes, how its attempts ended. */
export const job: PageMaker = async (call) => {
  const { caller, params, query } = call;
  const { job, repo: found, place } = await findJobOrStray(call, params.jobId, "inside");
  // A job whose repo is deleted or unknown is still an admin's to see.
  const repo = found === undefined ? job.repoId : `${found.owner}/${found.slug}`;
  const attempts = await listAttempts(place.db, job.jobId), { isAdmin } = caller;
  const error = isAdmin ? job.lastError : publicError(job.lastError);
  const key = mpackKeyOf(job);
  const stored = job.result === null ? null : resultOf(job.result);
  const result = stored === null || isAdmin ? stored : resultForTenant(stored);
  return {
    title: `Job ${job.jobId.slice(0, 20)}`,
    isLive: job.status === "pending" || job.status === "running",
    body: (
      <>
        <h1>
          Job <code>{job.jobId}</code>
        </h1>
        {query.has("done") && <p class="note" role="status">Done.</p>}
        <Facts
          facts={[
            ["Status", <Status status={job.status} />],
            ["Type", job.jobType],
            ["Repo", <a href={`/ui/repos/${repo}`}>{repo}</a>],
            [
              "Pack",
              key === undefined
                ? "–"
                : <a href={`/ui/repos/${repo}/packs/${encodeURIComponent(key)}`}>{key}</a>,
            ],
            ["Created", <Time at={job.createdAt} />],
            ["Started", <Time at={job.startedAt} />],
            ["Ended", <Time at={job.finishedAt} />],
            ["Attempts", `${job.attempt} of ${job.maxAttempts}`],
            ["Next attempt", job.status === "pending" ? <Time at={job.runAt} /> : "–"],
            ["Worker", isAdmin ? job.lockedBy ?? "–" : "–"],
            ["Lease ends", job.status === "running" ? <Time at={job.leaseExpiresAt} /> : "–"],
            ["Progress", job.status === "running" ? progressText(job.progress) : "–"],
          ]}
        />
        <Actions job={job} />
        {error !== null && job.status !== "done" && (
          <div class="problem">
            <strong>{error.code}</strong>
            {error.offset_bytes === undefined ? "" : ` at byte ${error.offset_bytes}`}
            <br />
            {error.message}
            <br />
            <span class="soft">{adviceFor(error.code)}</span>
          </div>
        )}
        {warningsOf(job.result)}
        {phasesOf(job.result)}
        {attempts.length > 0 && (
          <>
            <h2>Attempts that did not end well</h2>
            <Table
              label="Attempts"
              heads={["Attempt", "Outcome", "Began", "Took", "Why", "Worker"]}
            >
              {attempts.map((attempt) => (
                <tr>
                  <td>{attempt.attempt ?? "–"}</td>
                  <td>
                    <Status status={attempt.outcome} />
                  </td>
                  <td>
                    <Time at={attempt.startedAt} />
                  </td>
                  <td>
                    {attempt.startedAt === null
                      ? "–"
                      : durationText(attempt.endedAt.getTime() - attempt.startedAt.getTime())}
                  </td>
                  <td>{reasonOf(attempt, isAdmin)}</td>
                  <td>{isAdmin ? attempt.worker : "–"}</td>
                </tr>
              ))}
            </Table>
          </>
        )}
        <h2>Payload</h2>
        <pre tabindex={0}>{JSON.stringify(job.payload, null, 2)}</pre>
        {result !== null && (
          <>
            <h2>Result</h2>
            <pre tabindex={0}>{JSON.stringify(result, null, 2)}</pre>
          </>
        )}
      </>
    ),
  };
};

function Actions({ job }: { readonly job: JobRow }) {
  const { status } = job;
  const has = {
    retry: status === "failed" || status === "cancelled",
    cancel: status === "pending" || status === "running",
    purge: status === "done" || status === "failed" || status === "cancelled",
  };
  return (
    <form class="actions" method="post" action="/ui/jobs/confirm">
      <input type="hidden" name="job" value={job.jobId} />
      {has.retry && <button type="submit" name="action" value="retry">Retry</button>}
      {has.cancel && <button type="submit" name="action" value="cancel">Cancel</button>}
      {has.purge && <button type="submit" name="action" value="purge" class="bad">Purge</button>}
    </form>
  );
}

function warningsOf(result: unknown) {
  const { warnings: codes } = (result ?? {}) as { warnings?: unknown };
  if (!Array.isArray(codes)) return null;
  return codes.map((code) => <p class="note">{`Warning: ${warningText(String(code))}`}</p>);
}

function reasonOf(attempt: { code: string | null; message: string | null }, isAdmin: boolean) {
  const { code, message } = attempt;
  if (code === null || message === null) return "–";
  const shown = isAdmin ? message : publicError({ code, message }).message;
  return `${code}: ${shown}`;
}

function phasesOf(result: unknown) {
  const { phases_ms: phases } = (result ?? {}) as { phases_ms?: Record<string, unknown> };
  const parts = Object.entries(phases ?? {}).filter((entry): entry is [string, number] =>
    typeof entry[1] === "number"
  ).map(([name, value]) => ({ name, value, text: durationText(value) }));
  if (parts.length === 0) return null;
  return (
    <>
      <h2>Phases</h2>
      <Bar parts={parts} />
    </>
  );
}
