/** @jsxImportSource hono/jsx */
import { limitsOf } from "../../../config/config.ts";
import { listPacks, type PackSummary } from "../../../db/console_repos.ts";
import { MpackdError } from "../../../errors.ts";
import { isMpackKey } from "../../../lib/ids.ts";
import { inspectMpack, type MpackReport } from "../../../maintenance/inspect.ts";
import { warningText } from "../../../lib/text/pack_warnings.ts";
import { HttpProblem } from "../../problem.ts";
import type { PageCall, PageMaker } from "../page.ts";
import { bytesText, count, Facts, Id, Table, Time } from "../parts.tsx";
import { repoOf } from "./repo.tsx";

/** A larger pack takes too long to read while somebody waits. */
const MAX_INSPECTED_BYTES = 64 * 1024 * 1024;

/** One pack: its row, and what a reading of it finds. */
export const pack: PageMaker = async (call) => {
  const { caller, params } = call;
  const repo = await repoOf(call), place = await call.context.at(repo.home);
  const context = await call.reading(place), { db } = context;
  const name = `${repo.owner}/${repo.slug}`;
  const { mpackKey } = params;
  const [found] = isMpackKey(mpackKey)
    ? await listPacks(db, repo.repoId, { mpackKey, limit: 1 })
    : [];
  if (found === undefined) throw new HttpProblem(404, "not-found", "Cannot find such a pack");
  return {
    title: `Pack ${mpackKey.slice(0, 19)}`,
    body: (
      <>
        <h1>
          Pack <code>{mpackKey}</code>
        </h1>
        <Facts
          facts={[
            ["Repo", <a href={`/ui/repos/${name}`}>{name}</a>],
            ["Length", `${bytesText(found.sizeBytes)} (${count(found.sizeBytes)} bytes)`],
            ["Indexed", <Time at={found.indexedAt} />],
            ["Objects", count(found.objects)],
            ["Commits", count(found.commits)],
            ["Snapshots", count(found.snapshots)],
            ["Tags", count(found.tags)],
          ]}
        />
        {(caller.scopes.has("push") || caller.isAdmin) && (
          <form method="post" action="/ui/packs/audit" class="actions">
            <input type="hidden" name="repo" value={name} />
            <input type="hidden" name="mpack" value={mpackKey} />
            <button type="submit">Audit it</button>
            <span class="soft">A worker hashes it and its objects again.</span>
          </form>
        )}
        {await inspected({ ...call, context }, found)}
      </>
    ),
  };
};

async function inspected({ context, signal }: PageCall, pack: PackSummary) {
  if (pack.blobKey === null || pack.sizeBytes > MAX_INSPECTED_BYTES) {
    return (
      <p class="soft">
        Too large to be read for this page. In a terminal:{" "}
        <code>{`mpackd inspect ${pack.mpackKey} --repo OWNER/SLUG`}</code>
      </p>
    );
  }
  try {
    await using reader = await context.store.open(pack.blobKey, { signal });
    return (
      <Report report={await inspectMpack(reader, { limits: limitsOf(context.config), signal })} />
    );
  } catch (error) {
    if (!(error instanceof MpackdError)) throw error;
    return (
      <p class="problem">
        <strong>{error.code}</strong>: the store cannot give this pack.
      </p>
    );
  }
}

function Report({ report }: { readonly report: MpackReport }) {
  return (
    <>
      {report.problems.map((problem) => (
        <p class="problem">
          <strong>{problem.code}</strong>
          {problem.offset_bytes === undefined ? "" : ` at byte ${problem.offset_bytes}`}:{" "}
          {problem.message}
        </p>
      ))}
      {report.warnings.map((code) => <p class="note">{`Warning: ${warningText(code)}`}</p>)}
      <h2>Sections</h2>
      <Table label="Sections" heads={["Section", "From byte", "Bytes"]}>
        {report.sections.map((section) => (
          <tr>
            <td>{section.name}</td>
            <td class="number">{count(section.offset_bytes)}</td>
            <td class="number">{count(section.size_bytes)}</td>
          </tr>
        ))}
      </Table>
      <h2>Sizes of objects</h2>
      <Table label="Sizes of objects" heads={["Size", "Objects", "Bytes"]}>
        {report.histogram.map((size) => (
          <tr>
            <td>{`${bytesText(size.from_bytes)} to ${bytesText(size.to_bytes)}`}</td>
            <td class="number">{count(size.objects)}</td>
            <td class="number">{bytesText(size.bytes)}</td>
          </tr>
        ))}
      </Table>
      <h2>Largest objects</h2>
      <Table label="Largest objects" heads={["Object", "From byte", "Bytes"]}>
        {report.largest.map((object) => (
          <tr>
            <td>
              <Id id={object.object_id} />
            </td>
            <td class="number">{count(object.content_offset)}</td>
            <td class="number">{count(object.size_bytes)}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}
