/** @jsxImportSource hono/jsx */
import { HttpProblem } from "../../problem.ts";
import type { Page } from "../page.ts";

/** What can be done with jobs. */
const JOB_ACTIONS = ["retry", "cancel", "purge"] as const;

/** One of them. */
export type JobAction = typeof JOB_ACTIONS[number];

/** Most jobs that one form may name. */
const MAX_JOBS = 100;

const WHAT: Record<JobAction, string> = {
  retry:
    "They go back into the queue with all their attempts. Jobs that did not fail stay as they are.",
  cancel:
    "Waiting jobs end at once, running ones at their next batch. Ended jobs stay as they are.",
  purge: "Their rows are deleted. What they published stays. Jobs that have not ended stay.",
};

/** What a form asked for. */
export interface ActionForm {
  readonly action: JobAction;
  readonly jobIds: readonly string[];
}

/**
 * Reads a form.
 *
 * @throws {HttpProblem} 400 if it names no action, or too many jobs.
 */
export function readActionForm(form: URLSearchParams): ActionForm {
  const action = JOB_ACTIONS.find((name) => name === form.get("action"));
  const jobIds = [...new Set(form.getAll("job"))];
  if (action === undefined || jobIds.length > MAX_JOBS) {
    throw new HttpProblem(
      400,
      "bad-request",
      `Cannot do this: the form names no action, or more than ${MAX_JOBS} jobs`,
    );
  }
  return { action, jobIds };
}

/** Asks whether to do it. */
export function confirmPage({ action, jobIds }: ActionForm): Page {
  const some = `${jobIds.length} ${jobIds.length === 1 ? "job" : "jobs"}`;
  const title = `${action[0].toUpperCase()}${action.slice(1)} ${some}?`;
  return {
    title,
    body: (
      <>
        <h1>{title}</h1>
        {jobIds.length === 0
          ? (
            <p class="problem">
              No job is chosen. <a href="/ui/jobs">Back to the jobs</a>
            </p>
          )
          : (
            <form method="post" action="/ui/jobs/act">
              <p>{WHAT[action]}</p>
              <ul>
                {jobIds.map((jobId) => (
                  <li>
                    <code>{jobId}</code>
                    <input type="hidden" name="job" value={jobId} />
                  </li>
                ))}
              </ul>
              <div class="actions">
                <button
                  type="submit"
                  name="action"
                  value={action}
                  class={action === "retry" ? "" : "bad"}
                >
                  {`Yes, ${action}`}
                </button>
                <a href="/ui/jobs">No, back to the jobs</a>
              </div>
            </form>
          )}
      </>
    ),
  };
}
