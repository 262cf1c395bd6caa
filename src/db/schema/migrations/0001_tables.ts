import type { TableShape } from "../table_shape.ts";

const ID_CHARACTERS = "sha256:".length + 64;
const URI_CHARACTERS = "mpack://".length + ID_CHARACTERS;

/**
 * The tables that other programs use too, so they may exist already. Each column that mpackd adds to
 * one of them may be null or has a default, so that older producers go on working.
 *
 * Ids sort by bytes (collation "C"), and every statement takes its locks in that order.
 */
export const tables: readonly TableShape[] = [
  {
    table: "musehub_repos",
    key: ["repo_id"],
    columns: {
      repo_id: { type: 'text collate "C"', required: true },
      owner: { type: 'text collate "C"', required: true },
      slug: { type: 'text collate "C"', required: true },
      name: { type: "text" },
      visibility: { type: "text", initially: "'private'" },
      created_at: { type: "timestamptz", initially: "now()" },
      deleted_at: { type: "timestamptz" },
    },
    unique: [["owner", "slug"]],
  },
  {
    table: "musehub_mpacks",
    key: ["mpack_id"],
    columns: {
      mpack_id: { type: "bigint", identity: true, required: true },
      repo_id: { type: 'text collate "C"', required: true },
      mpack_key: {
        type: 'text collate "C"',
        required: true,
        minCharacters: ID_CHARACTERS,
      },
      blob_key: { type: "text" },
      etag: { type: "text" },
      size_bytes: { type: "bigint" },
      objects: { type: "bigint" },
      commits: { type: "bigint" },
      snapshots: { type: "bigint" },
      tags: { type: "bigint" },
      indexed_at: { type: "timestamptz", initially: "now()" },
    },
    unique: [["repo_id", "mpack_key"]],
  },
  {
    table: "musehub_objects",
    key: ["object_id"],
    columns: {
      object_id: {
        type: 'text collate "C"',
        required: true,
        minCharacters: ID_CHARACTERS,
      },
      storage_uri: { type: "text", minCharacters: URI_CHARACTERS },
      size_bytes: { type: "bigint" },
      content_offset: { type: "bigint" },
      created_at: { type: "timestamptz", initially: "now()" },
    },
  },
  {
    table: "musehub_object_refs",
    key: ["repo_id", "object_id"],
    columns: {
      repo_id: { type: 'text collate "C"', required: true },
      object_id: {
        type: 'text collate "C"',
        required: true,
        minCharacters: ID_CHARACTERS,
      },
      mpack_id: { type: "bigint" },
      content_offset: { type: "bigint" },
      size_bytes: { type: "bigint" },
      created_at: { type: "timestamptz", initially: "now()" },
      damaged_at: { type: "timestamptz" },
    },
  },
  {
    table: "musehub_background_jobs",
    key: ["job_id"],
    columns: {
      job_id: {
        type: 'text collate "C"',
        required: true,
        minCharacters: ID_CHARACTERS,
      },
      repo_id: { type: 'text collate "C"', required: true },
      job_type: { type: "text", required: true },
      payload: { type: "json", required: true },
      status: { type: "text", required: true, initially: "'pending'" },
      created_at: { type: "timestamptz", required: true, initially: "now()" },
      attempt: { type: "integer", required: true, initially: "0" },
      fence: { type: "bigint", initially: "0" },
      lease_expires_at: { type: "timestamptz" },
      locked_by: { type: "text" },
      run_at: { type: "timestamptz" },
      priority: { type: "integer", initially: "0" },
      max_attempts: { type: "integer" },
      progress: { type: "json" },
      checkpoint: { type: "json" },
      result: { type: "json" },
      last_error: { type: "json" },
      cancel_requested: { type: "boolean" },
      started_at: { type: "timestamptz" },
      finished_at: { type: "timestamptz" },
    },
  },
];
