/** @jsxImportSource hono/jsx */
import { listRepoSummaries, mergeRepos } from "../../../db/console_repos.ts";
import { HttpProblem } from "../../problem.ts";
import { askEverywhere } from "../../shards/everywhere.ts";
import type { PageMaker } from "../page.ts";
import { bytesText, count, Table, Time, Unreachable } from "../parts.tsx";

const PER_PAGE = 50;
const NAME = /^([A-Za-z0-9._-]{1,100})\/([A-Za-z0-9._-]{1,100})$/;
const PREFIX = /^[A-Za-z0-9._/-]{0,201}$/;

/** The repos by name, with what was pushed to them. */
export const repos: PageMaker = async ({ viewer, query, context, reading }) => {
  const prefix = query.get("prefix")?.trim() ?? "";
  const [, owner, slug] = NAME.exec(query.get("after") ?? "") ?? [];
  if (!PREFIX.test(prefix)) {
    throw new HttpProblem(400, "bad-request", "Cannot look for repos: that is no name");
  }
  const which = {
    prefix,
    limit: PER_PAGE + 1,
    ...(owner === undefined ? {} : { after: { owner, slug } }),
  };
  const { answers, unreachable } = await askEverywhere(
    context,
    viewer,
    ({ db }, viewer) => listRepoSummaries(db, { ...which, viewer }),
    { reading },
  );
  const rows = mergeRepos(answers, PER_PAGE + 1);
  const shown = rows.slice(0, PER_PAGE), last = shown.at(-1);
  const next = new URLSearchParams({ prefix, after: last ? `${last.owner}/${last.slug}` : "" });
  return {
    title: "Repos",
    body: (
      <>
        <h1>Repos</h1>
        <Unreachable shards={unreachable} />
        <form class="filter" method="get" action="/ui/repos">
          <label>
            Name begins with
            <br />
            <input name="prefix" value={prefix} placeholder="owner/slug" />
          </label>
          <button type="submit">Show</button>
        </form>
        {shown.length === 0 ? <p class="soft">There is no such repo.</p> : (
          <Table
            label="Repos"
            heads={["Repo", "Visibility", "Packs", "Objects in packs", "Bytes", "Last pack"]}
          >
            {shown.map((repo) => (
              <tr>
                <td>
                  <a href={`/ui/repos/${repo.owner}/${repo.slug}`}>
                    {`${repo.owner}/${repo.slug}`}
                  </a>
                </td>
                <td>{repo.visibility}</td>
                <td class="number">{count(repo.packs)}</td>
                <td class="number">{count(repo.objects)}</td>
                <td class="number">{bytesText(repo.sizeBytes)}</td>
                <td>
                  <Time at={repo.lastIndexedAt} />
                </td>
              </tr>
            ))}
          </Table>
        )}
        <nav class="pages" aria-label="Pages of the list">
          {owner !== undefined && (
            <a href={`/ui/repos?${new URLSearchParams({ prefix })}`}>
              First
            </a>
          )}
          {rows.length > PER_PAGE && <a href={`/ui/repos?${next}`}>More</a>}
        </nav>
      </>
    ),
  };
};
