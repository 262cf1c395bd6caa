import { createOrComplete, type TableShape } from "../table_shape.ts";

const ID_CHARACTERS = "sha256:".length + 64;
const URI_CHARACTERS = "mpack://".length + ID_CHARACTERS;

const ID = { type: 'text collate "C"', required: true, minCharacters: ID_CHARACTERS } as const;
const REPO = { type: 'text collate "C"', required: true } as const;
const LOCATION = {
  mpack_id: { type: "bigint" },
  record_offset: { type: "bigint" },
  record_bytes: { type: "bigint" },
} as const;
const FIRST_SEEN = {
  storage_uri: { type: "text", minCharacters: URI_CHARACTERS },
  record_offset: { type: "bigint" },
  record_bytes: { type: "bigint" },
  created_at: { type: "timestamptz", initially: "now()" },
} as const;
const REF_STATE = {
  created_at: { type: "timestamptz", initially: "now()" },
  damaged_at: { type: "timestamptz" },
} as const;

/**
 * The tables of history; other programs may have made some of them already. Records are located, not
 * copied: manifests stay in the packs.
 *
 * The tables without a repo say only that some repo has the record: author and annotations are not
 * part of a commit's id, so another repo may have chosen them. Readers use the rows of their repo.
 */
export const historyTables: readonly TableShape[] = [
  { table: "musehub_commits", key: ["commit_id"], columns: { commit_id: ID, ...FIRST_SEEN } },
  { table: "musehub_snapshots", key: ["snapshot_id"], columns: { snapshot_id: ID, ...FIRST_SEEN } },
  {
    table: "musehub_commit_refs",
    key: ["repo_id", "commit_id"],
    columns: {
      repo_id: REPO,
      commit_id: ID,
      ...LOCATION,
      snapshot_id: { type: 'text collate "C"', minCharacters: ID_CHARACTERS },
      author: { type: "text" },
      committed_at: { type: "text" },
      committed_time: { type: "timestamptz" },
      message: { type: "text" },
      annotations: { type: "json" },
      annotations_merged: { type: "boolean" },
      ...REF_STATE,
    },
  },
  {
    table: "musehub_snapshot_refs",
    key: ["repo_id", "snapshot_id"],
    columns: {
      repo_id: REPO,
      snapshot_id: ID,
      ...LOCATION,
      entries: { type: "bigint" },
      parent_snapshot_id: { type: 'text collate "C"', minCharacters: ID_CHARACTERS },
      delta_depth: { type: "integer", initially: "0" },
      ...REF_STATE,
    },
  },
  {
    table: "musehub_commit_graph",
    key: ["repo_id", "commit_id"],
    columns: {
      repo_id: REPO,
      commit_id: ID,
      parent_ids: { type: "text[]" },
      generation: { type: "integer" },
      depth: { type: "integer" },
      jump_id: { type: 'text collate "C"', minCharacters: ID_CHARACTERS },
      sort_time: { type: "bigint" },
    },
  },
  {
    table: "musehub_branches",
    key: ["branch_id"],
    columns: {
      branch_id: { type: "text", required: true, initially: "gen_random_uuid()::text" },
      repo_id: REPO,
      name: { type: 'text collate "C"', required: true },
      head_commit_id: { type: 'text collate "C"', minCharacters: ID_CHARACTERS },
      updated_at: { type: "timestamptz", initially: "now()" },
    },
    unique: [["repo_id", "name"]],
  },
  {
    table: "musehub_tags",
    key: ["tag_id"],
    columns: {
      tag_id: { type: "text", required: true, initially: "gen_random_uuid()::text" },
      repo_id: REPO,
      tag: { type: 'text collate "C"', required: true },
      commit_id: ID,
      created_at: { type: "timestamptz", initially: "now()" },
    },
    unique: [["repo_id", "tag"]],
  },
];

/** The tables of history, and where records are staged. */
export const sql = `
${historyTables.map(createOrComplete).join("\n")}
alter table musehub_repos add column if not exists default_branch text;
-- How the bytes in the pack are encoded ('zstd'); null: not at all.
alter table musehub_object_refs add column if not exists encoding text;
alter table mpack_staged_objects add column if not exists encodings text[];

-- Staged with the batch of objects of the same number, and unlogged like that.
create unlogged table if not exists mpack_staged_records (
  job_id text collate "C" not null,
  fence bigint not null,
  batch integer not null,
  commits jsonb,
  snapshots jsonb,
  tags jsonb,
  graph jsonb,
  primary key (job_id, batch)
);

-- A commit's children, to search upwards. With the repo first, the planner would also look commits up
-- in it, and read a repo's whole history each time, while statistics say that the repo has no rows.
create index if not exists musehub_commit_graph_mpackd_child
  on musehub_commit_graph ((parent_ids[1]), repo_id);
create index if not exists musehub_commit_graph_mpackd_merge
  on musehub_commit_graph (repo_id, (parent_ids[2])) where parent_ids[2] is not null;
-- Commits that have to wait for an ancestor.
create index if not exists musehub_commit_graph_mpackd_cut
  on musehub_commit_graph (repo_id) where generation is null;
create index if not exists musehub_commit_refs_mpackd_damaged
  on musehub_commit_refs (repo_id, commit_id) where damaged_at is not null;
create index if not exists musehub_snapshot_refs_mpackd_damaged
  on musehub_snapshot_refs (repo_id, snapshot_id) where damaged_at is not null;
`;
