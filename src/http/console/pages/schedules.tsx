/** @jsxImportSource hono/jsx */
import { listFinished, mergeFinished } from "../../../db/audits.ts";
import { mergePauses, readPauses } from "../../../jobs/schedules/pauses.ts";
import { listSchedules } from "../../../jobs/schedules/schedules.ts";
import { HttpProblem } from "../../problem.ts";
import { askEverywhere } from "../../shards/everywhere.ts";
import type { PageMaker } from "../page.ts";
import { count, Id, jobHref, Status, Table, Time, Unreachable } from "../parts.tsx";

/** How many of the last audits are shown. */
const AUDITS = 10;

const DONE: Readonly<Record<string, string>> = {
  "run": "The schedule runs now.",
  "pause": "The schedule is paused.",
  "resume": "The schedule goes on.",
  "pause-queue": "All jobs are paused.",
  "resume-queue": "Workers claim jobs again.",
};

/** What runs by itself and when, the last audits, and what of the queue is paused. For admins. */
export const schedules: PageMaker = async ({ caller, query, context, reading }) => {
  if (!caller.isAdmin) throw new HttpProblem(404, "not-found", "Cannot find such a page");
  const [rows, { answers, unreachable }] = await Promise.all([
    listSchedules((await reading(context)).db),
    askEverywhere(context, undefined, async ({ db }) => {
      const [pauses, audits] = await Promise.all([
        readPauses(db),
        listFinished(db, { limit: AUDITS }),
      ]);
      return { pauses, audits };
    }, { reading }),
  ]);
  const pauses = mergePauses(answers.map((place) => place.pauses));
  const audits = mergeFinished(answers.map((place) => place.audits), AUDITS);
  return {
    title: "Schedules",
    isLive: true,
    body: (
      <>
        <h1>Schedules</h1>
        <Unreachable shards={unreachable} />
        {query.has("done") && <p class="note" role="status">{DONE[query.get("done")!] ?? "Done"}
        </p>}
        {rows.length === 0
          ? (
            <p class="soft">
              Nothing runs by itself. In a terminal:{" "}
              <code>mpackd schedule add gc --task gc --cron "0 3 * * *"</code>
            </p>
          )
          : (
            <Table
              label="Schedules"
              heads={["Name", "Task", "When (UTC)", "Next", "Last", "Last job", ""]}
            >
              {rows.map((row) => (
                <tr>
                  <td>{row.name}</td>
                  <td>{row.task}</td>
                  <td>
                    <code>{row.cron}</code>
                  </td>
                  <td>{row.isPaused ? <Status status="paused" /> : <Time at={row.nextAt} />}</td>
                  <td>
                    <Time at={row.lastAt} />
                  </td>
                  <td>
                    {row.lastJobId !== null && row.lastStatus !== null
                      ? (
                        <>
                          <Id id={row.lastJobId} href={jobHref(row.lastJobId)} />{" "}
                          <Status status={row.lastStatus} />
                        </>
                      )
                      : "–"}
                  </td>
                  <td>
                    <form method="post" action="/ui/schedules" class="actions">
                      <input type="hidden" name="name" value={row.name} />
                      <button type="submit" name="action" value="run">Run now</button>
                      <button
                        type="submit"
                        name="action"
                        value={row.isPaused ? "resume" : "pause"}
                      >
                        {row.isPaused ? "Resume" : "Pause"}
                      </button>
                    </form>
                  </td>
                </tr>
              ))}
            </Table>
          )}
        <h2>Last audits</h2>
        {audits.length === 0
          ? <p class="soft">There was none.</p>
          : (
            <Table label="Last audits" heads={["Ended", "Of", "Mpacks", "Damaged"]}>
              {audits.map((audit) => (
                <tr>
                  <td>
                    <Time at={audit.finishedAt} />
                  </td>
                  <td>{audit.repoId === null ? "all repos" : <Id id={audit.repoId} />}</td>
                  <td>{count(audit.mpacks)}</td>
                  <td>
                    <Status status={audit.damaged === 0 ? "ok" : `${audit.damaged} damaged`} />
                  </td>
                </tr>
              ))}
            </Table>
          )}
        <h2>The queue</h2>
        {pauses.isAll
          ? <p class="problem">All jobs are paused: workers claim none.</p>
          : <p class="soft">Workers claim jobs.</p>}
        {pauses.types.map((type) => <p class="problem">Jobs of type {type} are paused.</p>)}
        {pauses.repoIds.map((repoId) => (
          <p class="problem">
            Jobs of the repo <Id id={repoId} /> are paused.
          </p>
        ))}
        <form method="post" action="/ui/schedules" class="actions">
          <button
            type="submit"
            name="action"
            value={pauses.isAll ? "resume-queue" : "pause-queue"}
            class={pauses.isAll ? "" : "bad"}
          >
            {pauses.isAll ? "Resume all jobs" : "Pause all jobs"}
          </button>
        </form>
      </>
    ),
  };
};
