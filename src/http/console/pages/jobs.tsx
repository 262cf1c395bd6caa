/** @jsxImportSource hono/jsx */
import { findRepo, parseRepoName } from "../../../db/repos.ts";
import { repoNames } from "../../../db/console_repos.ts";
import { ConfigError } from "../../../errors.ts";
import type { JobRow, JobStatus } from "../../../jobs/queue/job.ts";
import { listJobs, mergeJobs } from "../../../jobs/queue/list_jobs.ts";
import { HttpProblem } from "../../problem.ts";
import type { PageCall, PageMaker } from "../page.ts";
import { counted } from "../../../lib/numbers.ts";
import { askEverywhere } from "../../shards/everywhere.ts";
import {
  durationText,
  Id,
  jobHref,
  mpackKeyOf,
  Status,
  Table,
  Time,
  Unreachable,
} from "../parts.tsx";

const STATUSES: readonly JobStatus[] = ["pending", "running", "done", "failed", "cancelled"];
const PER_PAGE = 50;
const CURSOR = /^([0-9]{4}-[0-9T:.-]{1,20}Z)~([A-Za-z0-9:._-]{1,200})$/;
const TYPE = /^[A-Za-z0-9.-]{1,100}$/;
const CODE = /^[a-z-]{1,60}$/;
const SEARCH = /^[A-Za-z0-9:._-]{1,200}$/;

/** The jobs, newest first, by status, type, repo, code and id. */
export const jobs: PageMaker = async (call) => {
  const { viewer, query, context, reading } = call;
  const asked = filterOf(query);
  const repo = asked.repo === undefined ? undefined : await repoOf(call, asked.repo);
  const isNothing = asked.repo !== undefined && repo === undefined;
  const which = {
    status: asked.status,
    jobType: asked.type,
    code: asked.code,
    search: asked.search,
    repoId: repo?.repoId,
    limit: PER_PAGE + 1,
    after: cursorOf(query.get("after")),
  };
  const { answers, unreachable } = isNothing
    ? { answers: [], unreachable: [] }
    : await askEverywhere(
      context,
      viewer,
      ({ db }, visibleTo) => listJobs(db, { ...which, visibleTo }),
      { reading },
    );
  const rows = mergeJobs(answers, PER_PAGE + 1);
  const shown = rows.slice(0, PER_PAGE), last = shown.at(-1);
  const names = await repoNames(context.db, shown.map(({ repoId }) => repoId));
  const next = new URLSearchParams(query);
  if (last) next.set("after", `${last.createdAt.toISOString()}~${last.jobId}`);
  const first = new URLSearchParams(query);
  first.delete("after");
  return {
    title: "Jobs",
    isLive: !query.has("after"),
    body: (
      <>
        <h1>Jobs</h1>
        <Unreachable shards={unreachable} />
        {query.has("done") && <p class="note" role="status">{doneText(query)}</p>}
        <form class="filter" method="get" action="/ui/jobs">
          <label>
            Status
            <br />
            <select name="status">
              <option value="">any</option>
              {STATUSES.map((status) => (
                <option value={status} selected={asked.status === status}>{status}</option>
              ))}
            </select>
          </label>
          <label>
            Type
            <br />
            <input name="type" value={asked.type ?? ""} size={12} />
          </label>
          <label>
            Repo
            <br />
            <input name="repo" value={asked.repo ?? ""} placeholder="owner/slug" size={16} />
          </label>
          <label>
            Code
            <br />
            <input name="code" value={asked.code ?? ""} size={14} />
          </label>
          <label>
            Job id or pack key begins with
            <br />
            <input name="search" value={asked.search ?? ""} size={20} />
          </label>
          <button type="submit">Show</button>
        </form>
        <form method="post" action="/ui/jobs/confirm">
          {shown.length === 0
            ? (
              <p class="soft">
                No job is like that. <a href="/ui/jobs">Show all</a>
              </p>
            )
            : (
              <Table
                label="Jobs"
                heads={[
                  <input type="checkbox" data-all aria-label="Choose all of this page" />,
                  "Job",
                  "Status",
                  "Repo",
                  "Pack",
                  "Type",
                  "Created",
                  "Took",
                  "Code",
                ]}
              >
                {shown.map((job) => (
                  <tr>
                    <td>
                      <input
                        type="checkbox"
                        name="job"
                        value={job.jobId}
                        aria-label={`Choose job ${job.jobId}`}
                      />
                    </td>
                    <td>
                      <Id id={job.jobId} href={jobHref(job.jobId)} />
                    </td>
                    <td>
                      <Status status={job.status} />
                    </td>
                    <td>{repoLink(names.get(job.repoId), job.repoId)}</td>
                    <td>{packCell(job)}</td>
                    <td>{job.jobType}</td>
                    <td>
                      <Time at={job.createdAt} />
                    </td>
                    <td>{tookText(job)}</td>
                    <td>{job.status === "done" ? "" : job.lastError?.code ?? ""}</td>
                  </tr>
                ))}
              </Table>
            )}
          {shown.length > 0 && (
            <div class="actions">
              <span class="soft">The chosen:</span>
              <button type="submit" name="action" value="retry">Retry</button>
              <button type="submit" name="action" value="cancel">Cancel</button>
              <button type="submit" name="action" value="purge" class="bad">Purge</button>
            </div>
          )}
        </form>
        <nav class="pages" aria-label="Pages of the list">
          {query.has("after") && <a href={`/ui/jobs?${first}`}>Newest</a>}
          {rows.length > PER_PAGE && <a href={`/ui/jobs?${next}`}>Older</a>}
        </nav>
      </>
    ),
  };
};

interface Filter {
  readonly status?: JobStatus;
  readonly type?: string;
  readonly repo?: string;
  readonly code?: string;
  readonly search?: string;
}

/** Reads the filter; what cannot be in a row finds nothing, so it is refused. */
function filterOf(query: URLSearchParams): Filter {
  const read = (name: string, form: RegExp) => {
    const text = query.get(name)?.trim() ?? "";
    if (text === "") return undefined;
    if (form.test(text)) return text;
    throw new HttpProblem(400, "bad-request", `Cannot look for jobs: ${name} is not like ${form}`);
  };
  const status = read("status", new RegExp(`^(${STATUSES.join("|")})$`));
  return {
    status: status as JobStatus | undefined,
    type: read("type", TYPE),
    repo: read("repo", /^[^\s]{1,201}$/),
    code: read("code", CODE),
    search: read("search", SEARCH),
  };
}

async function repoOf({ context: { db } }: PageCall, name: string) {
  try {
    return await findRepo(db, parseRepoName(name));
  } catch (error) {
    if (error instanceof ConfigError) throw new HttpProblem(400, "bad-request", error.message);
    throw error;
  }
}

function cursorOf(text: string | null) {
  if (text === null) return undefined;
  const [, time, jobId] = CURSOR.exec(text) ?? [];
  const createdAt = new Date(time);
  if (!Number.isNaN(createdAt.getTime())) return { createdAt, jobId };
  throw new HttpProblem(400, "bad-request", "Cannot show the page: `after` is not one of ours");
}

function repoLink(name: string | undefined, repoId: string) {
  return name === undefined ? <Id id={repoId} /> : <a href={`/ui/repos/${name}`}>{name}</a>;
}

function packCell(job: JobRow) {
  const key = mpackKeyOf(job);
  return key === undefined ? "–" : <Id id={key} />;
}

function tookText({ startedAt, finishedAt, status }: JobRow): string {
  if (startedAt === null || status === "pending") return "–";
  return durationText((finishedAt?.getTime() ?? Date.now()) - startedAt.getTime());
}

function doneText(query: URLSearchParams): string {
  const done = Number(query.get("done")), asked = Number(query.get("asked"));
  const word =
    { retry: "put back", cancel: "cancelled", purge: "purged" }[query.get("action") ?? ""];
  if (!Number.isInteger(done) || !Number.isInteger(asked) || word === undefined) return "Done";
  const rest = asked - done;
  return `${done} of ${counted(asked, "job")} ${word}` +
    (rest > 0 ? `; the others are not in a state for it, or not yours` : "");
}
