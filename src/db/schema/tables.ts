import type { ColumnType, Generated, JSONColumnType } from "kysely";

/** A time; written by the database's clock wherever mpackd writes it. */
type Time = ColumnType<Date, Date | string, Date | string>;

/** One repository. */
export interface ReposTable {
  /** Its name everywhere else. */
  repo_id: string;
  /** Handle of who owns it. */
  owner: string;
  /** Its name in URLs; unique for one owner. */
  slug: string;
  /** Its name for people. */
  name: string;
  /** `public` or `private`. */
  visibility: string;
  /** When it was created. */
  created_at: Time;
  /** When it was deleted; null while it lives. */
  deleted_at: Time | null;
}

/** One indexed mpack of one repo. */
export interface MpacksTable {
  /** Short name for refs to point at. */
  mpack_id: Generated<number>;
  /** The repo it was pushed to. */
  repo_id: string;
  /** `sha256:` and the hex digest of the whole blob. */
  mpack_key: string;
  /** The blob's key in the store. */
  blob_key: string;
  /** The blob's version when it was indexed, for If-Match. */
  etag: string;
  /** Length of the blob in bytes. */
  size_bytes: number;
  /** Objects in it, duplicates included. */
  objects: number;
  /** Commits in it. */
  commits: number;
  /** Snapshots in it. */
  snapshots: number;
  /** Tags in it. */
  tags: number;
  /** When it was published. */
  indexed_at: Time;
}

/** One object, known to at least one repo. Says nothing about who may read it. */
export interface ObjectsTable {
  /** As the pack spelled it. */
  object_id: string;
  /** `mpack://` and the key of the first mpack that brought it. */
  storage_uri: string | null;
  /** Length of the content in bytes. */
  size_bytes: number | null;
  /** First byte of the content in that mpack. */
  content_offset: number | null;
  /** When it was first seen. */
  created_at: Time;
}

/** "This repo may see this object, and here is where it lies." */
export interface ObjectRefsTable {
  /** The repo that may see it. */
  repo_id: string;
  /** The object. */
  object_id: string;
  /** The mpack it lies in. */
  mpack_id: number | null;
  /** First byte of the content in the mpack. */
  content_offset: number | null;
  /** Length of the content in bytes. */
  size_bytes: number | null;
  /** When the repo first got it. */
  created_at: Time;
  /** When the bytes were found not to be the object's; null while they are believed. */
  damaged_at: Time | null;
  /** Why: `lie` if the pack itself holds other bytes, `loss` if its blob is not what was indexed. */
  damage: string | null;
}

/** One job. The columns after `attempt` are mpackd's, null in rows of older producers. */
export interface BackgroundJobsTable {
  /** `sha256:` over repo, type and time, for jobs that mpackd made. */
  job_id: string;
  /** The repo it works for. */
  repo_id: string;
  /** `mpack.index` for the main one. */
  job_type: string;
  /** What the producer wrote. */
  payload: JSONColumnType<Record<string, unknown>>;
  /** pending, running, done, failed or cancelled. */
  status: string;
  /** When it was enqueued. */
  created_at: Time;
  /** How often it was claimed. */
  attempt: number;
  /** Raised by each claim; every write of a worker names the one it got. */
  fence: number | null;
  /** Until when the running worker holds it. */
  lease_expires_at: Time | null;
  /** Which worker holds it, for people. */
  locked_by: string | null;
  /** Not to be claimed before. */
  run_at: Time | null;
  /** Higher goes first. Default 0. */
  priority: number | null;
  /** How often it may be claimed. */
  max_attempts: number | null;
  /** How far it is, for people. */
  progress: unknown;
  /** Where its next attempt may continue. */
  checkpoint: unknown;
  /** What it achieved. */
  result: unknown;
  /** Why its last attempt ended. */
  last_error: unknown;
  /** Whether the running worker shall stop. */
  cancel_requested: boolean | null;
  /** When its last attempt began. */
  started_at: Time | null;
  /** When it ended for good. */
  finished_at: Time | null;
}

/** One batch of decoded rows that is not proved yet. */
export interface StagedObjectsTable {
  /** The job that staged it. */
  job_id: string;
  /** The claim under which it was staged. */
  fence: number;
  /** Its place among the job's batches, from 0. */
  batch: number;
  /** How many rows it holds. */
  rows: number;
  /** The three columns of the rows, as Postgres array literals. */
  object_ids: string;
  /** First byte of each content. */
  content_offsets: string;
  /** Length of each content. */
  sizes_bytes: string;
  /** Whether `musehub_objects` had each id when the batch was staged. */
  known_objects: string | null;
  /** Whether the repo had a ref for each id then. */
  known_refs: string | null;
}

/** One batch of ids that the ghost guard keeps while it reads a pack. */
export interface GuardIdsTable {
  /** The guard. */
  guard_id: string;
  /** `named`, `held` or `ghost`. */
  kind: string;
  /** Its place among the guard's batches of the kind. */
  batch: number;
  /** The ids. */
  ids: string[];
  /** When it was written; what is a day old is swept. */
  created_at: Time;
}

/** One audit that has not ended. */
export interface AuditsTable {
  /** The job, or what a command was asked to audit. */
  audit_id: string;
  /** Decides which packs a sample takes. */
  seed: string;
  /** When it began. */
  started_at: Time;
}

/** One pack that an audit has found sound. */
export interface AuditedPacksTable {
  /** The audit. */
  audit_id: string;
  /** The pack. */
  mpack_id: number;
  /** When. */
  checked_at: Time;
}

/** One thing that `gc` is deleting. */
export interface TombstonesTable {
  /** A blob's key in the store, or a repo's id. */
  name: string;
  /** When it was doomed. */
  doomed_at: Time;
}

/** What `migrate` has done. */
export interface MigrationsTable {
  /** The migration's file name without its ending. */
  name: string;
  /** When. */
  applied_at: Time;
}

/** Somebody who may talk to the HTTP API. */
export interface IdentitiesTable {
  /** `sha256:` and the hex digest of the raw public key. */
  identity_id: string;
  /** Its name for people; the owner part of its repos' names. */
  handle: string;
  /** The raw Ed25519 public key, base64. */
  public_key: string;
  /** Whether a program and not a person. */
  is_agent: Generated<boolean>;
  /** Whether every repo is open to it. */
  is_admin: Generated<boolean>;
  /** When it was created. */
  created_at: Time;
  /** When it was revoked; null while it is good. */
  revoked_at: Time | null;
}

/** One bearer token of an identity. */
export interface TokensTable {
  /** The part of the token that is no secret. */
  token_id: string;
  /** Whose it is. */
  identity_id: string;
  /** SHA-256 of the secret part, hex. */
  secret_hash: string;
  /** What it is good for: read, push, admin. */
  scopes: string[];
  /** When it was created. */
  created_at: Time;
  /** When it stops working. */
  expires_at: Time;
  /** When it was revoked; null while it is good. */
  revoked_at: Time | null;
}

/** "This identity may push to that repo." */
export interface CollaboratorsTable {
  /** The repo. */
  repo_id: string;
  /** Who was let in. */
  identity_id: string;
  /** When. */
  granted_at: Time;
}

/** A signature that was used, until it would have expired anyway. */
export interface SeenSignaturesTable {
  /** SHA-256 of signer and signature base, hex. */
  signature_hash: string;
  /** When it may be forgotten. */
  expires_at: Time;
}

/** What all servers of one database share. */
export interface SecretsTable {
  /** What it is for. */
  name: string;
  /** The secret, base64. */
  value: string;
  /** When it was made. */
  created_at: Time;
}

/** Every table that mpackd reads or writes. */
export interface Tables {
  /** Repositories. */
  musehub_repos: ReposTable;
  /** Indexed mpacks. */
  musehub_mpacks: MpacksTable;
  /** Objects. */
  musehub_objects: ObjectsTable;
  /** Who may see which object, and where it lies. */
  musehub_object_refs: ObjectRefsTable;
  /** The queue. */
  musehub_background_jobs: BackgroundJobsTable;
  /** Rows before their proof. */
  mpack_staged_objects: StagedObjectsTable;
  /** Ids of packs being guarded. */
  mpack_guard_ids: GuardIdsTable;
  /** Audits under way. */
  mpackd_audits: AuditsTable;
  /** What they have checked. */
  mpackd_audited_packs: AuditedPacksTable;
  /** What gc is deleting. */
  mpackd_doomed: TombstonesTable;
  /** Applied migrations. */
  mpackd_migrations: MigrationsTable;
  /** Who may talk to the HTTP API. */
  mpackd_identities: IdentitiesTable;
  /** Their bearer tokens. */
  mpackd_tokens: TokensTable;
  /** Whom repos' owners let in. */
  mpackd_collaborators: CollaboratorsTable;
  /** Signatures that were used. */
  mpackd_seen_signatures: SeenSignaturesTable;
  /** What all servers of one database share. */
  mpackd_secrets: SecretsTable;
}
