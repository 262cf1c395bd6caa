/** @jsxImportSource hono/jsx */
import { countDamaged, listPacks } from "../../../db/console_repos.ts";
import { listJobs } from "../../../jobs/queue/list_jobs.ts";
import { mayManage, openRepo } from "../../auth/access.ts";
import { History, readHistory } from "../history.tsx";
import type { PageCall, PageMaker } from "../page.ts";
import { Quotas, readQuotasOf } from "../quotas.tsx";
import { bytesText, count, Facts, Figure, Id, jobHref, Status, Table, Time } from "../parts.tsx";

const PER_PAGE = 50;
const JOBS = 10;

/** One repo: its packs, its last jobs, what is damaged. */
export const repo: PageMaker = async (call) => {
  const { caller, query } = call;
  const repo = await repoOf(call), place = await call.context.at(repo.home);
  const { db } = await call.reading(place);
  const name = `${repo.owner}/${repo.slug}`;
  const before = Number(query.get("before") ?? NaN);
  const [rows, damaged, jobs, history, quotas] = await Promise.all([
    listPacks(db, repo.repoId, {
      limit: PER_PAGE + 1,
      ...(Number.isSafeInteger(before) && before > 0 ? { before } : {}),
    }),
    countDamaged(db, repo.repoId),
    listJobs(db, { repoId: repo.repoId, limit: JOBS }),
    readHistory(db, repo.repoId, query.get("branch")),
    readQuotasOf(repo, call),
  ]);
  const packs = rows.slice(0, PER_PAGE), last = packs.at(-1);
  return {
    title: name,
    body: (
      <>
        <h1>{name}</h1>
        <Facts
          facts={[
            ["Repo id", <code>{repo.repoId}</code>],
            ["Visibility", repo.visibility],
            ["Created", <Time at={repo.createdAt} />],
          ]}
        />
        <div class="figures">
          <Figure name="Damaged refs" tone={damaged > 0 ? "bad" : "good"}>
            {damaged >= 1_000 ? "1,000 or more" : count(damaged)}
          </Figure>
        </div>
        <Quotas title="Quotas" tenants={quotas} />
        {history !== undefined && <History name={name} history={history} />}
        <h2>Packs, newest first</h2>
        {packs.length === 0 ? <p class="soft">Nothing was pushed yet.</p> : (
          <Table
            label="Packs"
            heads={["Pack", "Bytes", "Objects", "Commits", "Snapshots", "Tags", "Indexed"]}
          >
            {packs.map((pack) => (
              <tr>
                <td>
                  <Id
                    id={pack.mpackKey}
                    href={`/ui/repos/${name}/packs/${encodeURIComponent(pack.mpackKey)}`}
                  />
                </td>
                <td class="number">{bytesText(pack.sizeBytes)}</td>
                <td class="number">{count(pack.objects)}</td>
                <td class="number">{count(pack.commits)}</td>
                <td class="number">{count(pack.snapshots)}</td>
                <td class="number">{count(pack.tags)}</td>
                <td>
                  <Time at={pack.indexedAt} />
                </td>
              </tr>
            ))}
          </Table>
        )}
        <nav class="pages" aria-label="Pages of packs">
          {query.has("before") && <a href={`/ui/repos/${name}`}>Newest</a>}
          {rows.length > PER_PAGE && (
            <a href={`/ui/repos/${name}?before=${last!.mpackId}`}>
              Older
            </a>
          )}
        </nav>
        <h2>Last jobs</h2>
        {jobs.length === 0
          ? <p class="soft">There is none.</p>
          : (
            <Table label="Last jobs" heads={["Job", "Status", "Type", "Created", "Code"]}>
              {jobs.map((job) => (
                <tr>
                  <td>
                    <Id id={job.jobId} href={jobHref(job.jobId)} />
                  </td>
                  <td>
                    <Status status={job.status} />
                  </td>
                  <td>{job.jobType}</td>
                  <td>
                    <Time at={job.createdAt} />
                  </td>
                  <td>{job.status === "done" ? "" : job.lastError?.code ?? ""}</td>
                </tr>
              ))}
            </Table>
          )}
        <p>
          <a href={`/ui/jobs?${new URLSearchParams({ repo: name })}`}>All jobs of this repo</a>
          {mayManage(repo, caller) && (
            <>
              {" · "}
              <a href={`/ui/repos/${name}/webhooks`}>Webhooks</a>
            </>
          )}
        </p>
      </>
    ),
  };
};

/** Finds the repo in the path. Only its owner, collaborators and admins see it here. */
export function repoOf({ caller, params, context: { db } }: PageCall) {
  return openRepo(db, { owner: params.owner, slug: params.slug }, caller, "inside");
}
