import type { Database } from "../../../src/db/client/database.ts";
import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { TestFixture } from "../process/fixture.ts";
import type { MadePack } from "./make_history.ts";

/** Indexes a pack, and writes the rows of its history. */
export async function indexHistory(fixture: TestFixture, pack: MadePack): Promise<void> {
  await indexMpack(fixture.options(await fixture.put(pack.bytes)));
  await writeRows(fixture.db, fixture.repo.repoId, pack);
}

async function writeRows({ sql }: Database, repoId: string, pack: MadePack): Promise<void> {
  const [{ mpack_id }] = await sql`select mpack_id from musehub_mpacks
    where repo_id = ${repoId} and mpack_key = ${pack.mpackKey}`;
  const place = (id: string) => {
    const { offsetBytes, sizeBytes } = pack.places.get(id)!;
    return { repo_id: repoId, mpack_id, record_offset: offsetBytes, record_bytes: sizeBytes };
  };
  for (const commit of pack.commits) {
    const row = {
      ...place(commit.commitId),
      commit_id: commit.commitId,
      snapshot_id: commit.snapshotId,
      author: commit.author,
      committed_at: commit.committedAt,
      committed_time: commit.committedAt,
      message: commit.message,
    };
    await sql`insert into musehub_commit_refs ${sql(row)} on conflict do nothing`;
  }
  // Parents first.
  for (const { commitId, parentIds } of [...pack.commits].reverse()) {
    await sql`insert into musehub_commit_graph (repo_id, commit_id, parent_ids, generation)
      select ${repoId}, ${commitId}, ${`{${parentIds.join(",")}}`}::text[],
        1 + coalesce(max(generation), 0)
      from musehub_commit_graph where repo_id = ${repoId}
        and commit_id = any(${`{${parentIds.join(",")}}`}::text[])
      on conflict do nothing`;
  }
  for (const { snapshot, parent } of pack.snapshots) {
    const row = {
      ...place(snapshot.snapshotId),
      snapshot_id: snapshot.snapshotId,
      entries: snapshot.manifest.size,
      parent_snapshot_id: parent?.snapshotId ?? null,
    };
    await sql`insert into musehub_snapshot_refs ${sql(row)} on conflict do nothing`;
  }
}
