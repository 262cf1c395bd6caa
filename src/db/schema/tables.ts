import type { ColumnType, Selectable } from "kysely";

/** What the driver reads a column of each PostgreSQL type as. */
interface Types {
  readonly text: string;
  /** Counts, sizes and fences, all far below 2^53. */
  readonly bigint: number;
  readonly integer: number;
  readonly boolean: boolean;
  readonly timestamptz: Date;
  readonly json: unknown;
  /** Arrays are read as PostgreSQL writes them, `{a,b}`: the driver is not told their types. */
  readonly "text[]": string;
  readonly "bigint[]": string;
  readonly "boolean[]": string;
}

/** A column's type; then `?` if it may be null; then `=` if it has a default. */
type Column = `${keyof Types}${"" | "?"}${"" | "="}`;

/**
 * Every table that mpackd reads or writes, with the columns that it knows, after all migrations.
 *
 * Kysely's types are made of this, and a test compares it with what `migrate()` makes. A table of
 * another producer may have more columns, and may forbid nulls where they are allowed here.
 * @internal Exported for tests.
 */
export const TABLES = {
  musehub_repos: {
    repo_id: "text",
    owner: "text",
    slug: "text",
    name: "text?",
    visibility: "text?=",
    created_at: "timestamptz?=",
    deleted_at: "timestamptz?",
    /** The first branch pushed. */
    default_branch: "text?",
    /** The shard that has its rows; null: this database. */
    shard: "text?",
  },
  /** The shards of this catalog. */
  mpackd_shards: {
    name: "text",
    /** With search_path; without a user, the catalog's. */
    url: "text",
    replica_url: "text?",
    /** The shard's own store. */
    store_url: "text?",
    /** `open`, `drained` or `moving`. */
    state: "text=",
    /** Raised with each change of `url`. */
    version: "bigint=",
    added_at: "timestamptz=",
  },
  /** Jobs of the catalog's queue that a shard runs under the same id. */
  mpackd_forwarded_jobs: {
    job_id: "text",
    shard: "text",
    /** Of the claim that forwarded it. */
    fence: "bigint",
    cancel_passed: "boolean=",
  },
  /** Repos that have moved away. */
  mpackd_moved_repos: {
    repo_id: "text",
    moved_at: "timestamptz=",
  },
  /** Repos that move between shards. */
  mpackd_repo_moves: {
    repo_id: "text",
    move_id: "text",
    /** Null: the catalog. */
    from_shard: "text?",
    to_shard: "text?",
    /** `copying`, `removing` or `aborting`. */
    step: "text",
    /** The process that works on it. */
    run_id: "text",
    /** Whether the move has paused the repo's jobs. */
    made_pause: "boolean=",
    began_at: "timestamptz=",
  },
  /** Moves of shards to other servers. */
  mpackd_shard_moves: {
    move_id: "text",
    shard: "text",
    /** `copying`, `fencing`, `ready`, `aborting`, `moved` or `aborted`. */
    step: "text",
    /** The process that works on it. */
    run_id: "text",
    old_url: "text",
    new_url: "text",
    /** Of the shard, before. */
    old_state: "text",
    old_version: "bigint",
    /** Whether the move has made the target's schema. */
    made_schema: "boolean=",
    subscription_oid: "bigint?",
    began_at: "timestamptz=",
    ended_at: "timestamptz?",
    /** When the old schema was removed. */
    old_removed_at: "timestamptz?",
    /** System identifier and timeline of the source, and of the target. */
    old_timeline: "text?",
    new_timeline: "text?",
  },
  /** One row per indexed mpack of one repo. */
  musehub_mpacks: {
    mpack_id: "bigint=",
    repo_id: "text",
    mpack_key: "text",
    blob_key: "text?",
    /** The version of the blob that was indexed, for If-Match. */
    etag: "text?",
    size_bytes: "bigint?",
    /** Objects in the mpack, duplicates included. */
    objects: "bigint?",
    commits: "bigint?",
    snapshots: "bigint?",
    tags: "bigint?",
    indexed_at: "timestamptz?=",
    /** Whether only branches and tags keep what it holds. */
    is_push: "boolean?",
    /** When a repack moved what it held into another pack. */
    replaced_at: "timestamptz?",
  },
  /** One row per object that at least one repo has. It does not say who may read it. */
  musehub_objects: {
    object_id: "text",
    /** `mpack://` and the key of the first mpack that brought the object. */
    storage_uri: "text?",
    size_bytes: "bigint?",
    content_offset: "bigint?",
    created_at: "timestamptz?=",
  },
  /** A row says that a repo may read an object, and where the object lies. */
  musehub_object_refs: {
    repo_id: "text",
    object_id: "text",
    mpack_id: "bigint?",
    content_offset: "bigint?",
    size_bytes: "bigint?",
    created_at: "timestamptz?=",
    /** When an audit found other bytes there. */
    damaged_at: "timestamptz?",
    /** `lie`: the mpack itself holds other bytes. `loss`: the blob is not the indexed one. */
    damage: "text?",
    /** How the bytes in the pack are encoded: `zstd`; null: not at all. */
    encoding: "text?",
  },
  /** One row per commit that at least one repo has. It does not say who may read it. */
  musehub_commits: {
    commit_id: "text",
    /** `mpack://` and the key of the first mpack that brought the commit. */
    storage_uri: "text?",
    record_offset: "bigint?",
    record_bytes: "bigint?",
    created_at: "timestamptz?=",
  },
  /** One row per snapshot that at least one repo has. It does not say who may read it. */
  musehub_snapshots: {
    snapshot_id: "text",
    storage_uri: "text?",
    record_offset: "bigint?",
    record_bytes: "bigint?",
    created_at: "timestamptz?=",
  },
  /** A row says that a repo has a commit, and where its record lies. */
  musehub_commit_refs: {
    repo_id: "text",
    commit_id: "text",
    mpack_id: "bigint?",
    record_offset: "bigint?",
    record_bytes: "bigint?",
    snapshot_id: "text?",
    author: "text?",
    /** As the record has it, character by character: an id may depend on it. */
    committed_at: "text?",
    /** The same as a time; null if it is none. */
    committed_time: "timestamptz?",
    message: "text?",
    /** `{metadata, reviewed_by, test_runs}`; null if all three are empty. */
    annotations: "json?",
    /** True if these differ from those in the record, because a later push has added to them. */
    annotations_merged: "boolean?",
    created_at: "timestamptz?=",
    damaged_at: "timestamptz?",
  },
  /** A row says that a repo has a snapshot, and where its record lies. */
  musehub_snapshot_refs: {
    repo_id: "text",
    snapshot_id: "text",
    mpack_id: "bigint?",
    record_offset: "bigint?",
    record_bytes: "bigint?",
    /** Entries of the manifest or, of a delta, of `delta_add`. */
    entries: "bigint?",
    /** The snapshot that this one is a delta to. */
    parent_snapshot_id: "text?",
    /** How many deltas a reader has to apply; 0 for a whole manifest. */
    delta_depth: "integer?=",
    created_at: "timestamptz?=",
    damaged_at: "timestamptz?",
  },
  /** The parents of each commit of a repo, and what makes questions about ancestors fast. */
  musehub_commit_graph: {
    repo_id: "text",
    commit_id: "text",
    /** None, one or two, the first parent first. */
    parent_ids: "text[]?",
    /** 1 for a root, else 1 more than the highest of its parents; null if an ancestor is missing. */
    generation: "integer?",
    /** First parents from here to a root, this one included. */
    depth: "integer?",
    /** A commit far down the line of first parents: see is_ancestor_1.sql. */
    jump_id: "text?",
    sort_time: "bigint?",
  },
  musehub_branches: {
    branch_id: "text=",
    repo_id: "text",
    name: "text",
    head_commit_id: "text?",
    updated_at: "timestamptz?=",
  },
  musehub_tags: {
    tag_id: "text=",
    repo_id: "text",
    tag: "text",
    commit_id: "text",
    created_at: "timestamptz?=",
  },
  /** The queue. Other producers write the columns up to `attempt`; the others may be null. */
  musehub_background_jobs: {
    job_id: "text",
    repo_id: "text",
    job_type: "text",
    payload: "json",
    status: "text=",
    created_at: "timestamptz=",
    /** How often the job was claimed. */
    attempt: "integer=",
    /** Raised by each claim. Every write of a worker names the fence of its claim. */
    fence: "bigint?=",
    lease_expires_at: "timestamptz?",
    locked_by: "text?",
    /** The job is not claimed before. */
    run_at: "timestamptz?",
    /** Higher goes first. */
    priority: "integer?=",
    max_attempts: "integer?",
    progress: "json?",
    checkpoint: "json?",
    result: "json?",
    last_error: "json?",
    cancel_requested: "boolean?",
    started_at: "timestamptz?",
    finished_at: "timestamptz?",
    /** Of the repo's owner; a trigger writes it. Claims let owners take turns by it. */
    tenant_hash: "bigint?",
    /** False: no webhook is told how it ends; a trigger writes it. */
    is_told: "boolean?",
    /** Rows of `musehub_objects` that the attempts have inserted so far; null when it is done. */
    objects_written: "bigint?",
  },
  /** Batches of decoded rows before their proof; each column of the rows is one array. */
  mpack_staged_objects: {
    job_id: "text",
    fence: "bigint",
    batch: "integer",
    rows: "integer",
    object_ids: "text[]",
    content_offsets: "bigint[]",
    sizes_bytes: "bigint[]",
    known_objects: "boolean[]?",
    known_refs: "boolean[]?",
    /** Null if no object of the batch is encoded. */
    encodings: "text[]?",
  },
  /** Records of history before their proof, staged with the batch of objects of the same number. */
  mpack_staged_records: {
    job_id: "text",
    fence: "bigint",
    batch: "integer",
    commits: "json?",
    snapshots: "json?",
    tags: "json?",
    /** Rows of `musehub_commit_graph`. */
    graph: "json?",
  },
  /** Ids that the ghost guard keeps while it reads a pack. */
  mpack_guard_ids: {
    guard_id: "text",
    kind: "text",
    batch: "integer",
    ids: "text[]",
    created_at: "timestamptz=",
  },
  /** Ids that walks over long histories keep while they run. */
  mpackd_walk_ids: {
    walk_id: "text",
    kind: "text",
    page: "integer",
    ids: "text[]",
    created_at: "timestamptz=",
  },
  /** Audits that have not ended. */
  mpackd_audits: {
    audit_id: "text",
    /** Decides which packs a sample takes. */
    seed: "text",
    started_at: "timestamptz=",
  },
  mpackd_finished_audits: {
    audit_id: "text",
    started_at: "timestamptz",
    finished_at: "timestamptz=",
    /** The repo it was about; null for all. */
    repo_id: "text?",
    /** Mpacks that it read. */
    mpacks: "bigint",
    /** Those with findings. */
    damaged: "bigint",
  },
  mpackd_audited_packs: {
    audit_id: "text",
    mpack_id: "bigint",
    checked_at: "timestamptz=",
  },
  /** Tombstones: blobs and repos that `gc` is deleting. */
  mpackd_tombstones: {
    /** A blob's key in the store, or a repo's id. */
    name: "text",
    created_at: "timestamptz=",
  },
  mpackd_migrations: {
    name: "text",
    applied_at: "timestamptz=",
  },
  mpackd_identities: {
    /** `sha256:` and the hex digest of the raw public key. */
    identity_id: "text",
    handle: "text",
    /** The raw Ed25519 public key, base64. */
    public_key: "text",
    is_agent: "boolean=",
    is_admin: "boolean=",
    created_at: "timestamptz=",
    revoked_at: "timestamptz?",
  },
  mpackd_tokens: {
    token_id: "text",
    identity_id: "text",
    /** SHA-256 of the token's secret part, hex. */
    secret_hash: "text",
    scopes: "text[]",
    created_at: "timestamptz=",
    expires_at: "timestamptz",
    revoked_at: "timestamptz?",
  },
  /** Identities that a repo's owner lets push. */
  mpackd_collaborators: {
    repo_id: "text",
    identity_id: "text",
    granted_at: "timestamptz=",
  },
  /** Signatures that were used, until they expire. */
  mpackd_seen_signatures: {
    /** SHA-256 of signer and signature base, hex. */
    signature_hash: "text",
    expires_at: "timestamptz",
  },
  /** The identity of this database, in one row. */
  mpackd_database: {
    is_only: "boolean=",
    database_id: "text=",
    /** Counts uses; the store's marker has the same number. */
    counter: "bigint=",
    counted_at: "timestamptz?",
    /** In a shard: its name, and its catalog's `database_id`. */
    shard: "text?",
    catalog_id: "text?",
  },
  /** Repos whose rows gc has removed. */
  mpackd_removed_repos: {
    repo_id: "text",
    removed_at: "timestamptz=",
  },
  /** Uploads in parts that are going on. */
  /** Repos whose unreached history gc deletes, or has deleted. */
  mpackd_collections: {
    repo_id: "text",
    run_id: "text",
    began_at: "timestamptz=",
    expires_at: "timestamptz",
    ended_at: "timestamptz?",
    /** The history in which nothing is left to delete. */
    state: "text?",
    /** Whether there was a pack that did not come by a push. */
    is_mixed: "boolean=",
  },
  /** Rows that a repack moves. */
  mpackd_moves: {
    run_id: "text",
    kind: "text",
    place: "bigint",
    id: "text",
    mpack_id: "bigint",
    old_offset: "bigint",
    old_bytes: "bigint",
    new_offset: "bigint?",
    new_bytes: "bigint?",
    /** Of the manifest of a snapshot that was a delta. */
    entries: "bigint?",
    created_at: "timestamptz=",
  },
  /** What a walk of gc has reached. */
  mpackd_marks: {
    walk_id: "text",
    kind: "text",
    id: "text",
    created_at: "timestamptz=",
  },
  mpackd_uploads: {
    repo_id: "text",
    mpack_key: "text",
    /** The store's id of the upload. */
    upload_id: "text",
    size_bytes: "bigint",
    /** Length of every part but the last. */
    part_bytes: "bigint",
    /** When a client last asked for it. */
    touched_at: "timestamptz=",
  },
  /** Attempts of jobs that did not end well. One that did is in the job's row. */
  mpackd_attempts: {
    job_id: "text",
    /** The fence of the attempt's claim. */
    fence: "bigint",
    attempt: "integer?",
    worker: "text?",
    started_at: "timestamptz?",
    ended_at: "timestamptz=",
    /** `retrying`, `failed`, `cancelled`, `released`, or `lost`: the worker's lease expired. */
    outcome: "text",
    code: "text?",
    message: "text?",
  },
  /** Workers and when they were last alive. Unlogged: they say so again. */
  mpackd_workers: {
    worker: "text",
    version: "text",
    started_at: "timestamptz=",
    seen_at: "timestamptz=",
    concurrency: "integer",
    /** Jobs that it runs. */
    running: "integer",
    is_draining: "boolean=",
  },
  /** When maintenance runs by itself. */
  mpackd_schedules: {
    name: "text",
    /** A cron expression, in UTC. */
    cron: "text",
    task: "text",
    options: "json=",
    is_paused: "boolean=",
    next_at: "timestamptz",
    last_at: "timestamptz?",
    last_job_id: "text?",
    created_at: "timestamptz=",
  },
  /** What of the queue is not claimed. */
  mpackd_pauses: {
    /** `all`, `type` or `repo`. */
    kind: "text",
    /** The type or the repo's id; empty for all. */
    value: "text",
    paused_at: "timestamptz=",
  },
  /** Who is told by HTTP of what happens in a repo. */
  mpackd_webhooks: {
    webhook_id: "text",
    repo_id: "text",
    url: "text",
    host: "text",
    events: "text[]",
    /** `whsec_…`. */
    secret: "text",
    old_secret: "text?",
    old_secret_until: "timestamptz?",
    created_at: "timestamptz=",
    failing_since: "timestamptz?",
    disabled_at: "timestamptz?",
    /** Why it is disabled. */
    note: "text?",
  },
  /** What webhooks are told, and how it went. */
  mpackd_deliveries: {
    delivery_id: "text=",
    webhook_id: "text",
    event: "text",
    /** The body. */
    payload: "text",
    /** `pending`, `delivered` or `dead`. */
    status: "text=",
    attempts: "integer=",
    created_at: "timestamptz=",
    run_at: "timestamptz=",
    leased_until: "timestamptz?",
    ended_at: "timestamptz?",
    is_asked: "boolean=",
    /** An entry for each of the last attempts. */
    log: "json=",
  },
  /** When tenants that wait beside others last had a job claimed. */
  mpackd_turns: {
    /** As `musehub_background_jobs.tenant_hash`. */
    tenant: "bigint",
    served_at: "timestamptz",
  },
  /** Limits of tenants. Null: the default of the settings. */
  mpackd_quotas: {
    /** `owner` or `repo`. */
    kind: "text",
    /** The owner's handle or the repo's id. */
    name: "text",
    bytes: "bigint?",
    objects: "bigint?",
    packs: "bigint?",
    /** Pushes an hour. */
    pushes: "bigint?",
    changed_at: "timestamptz=",
  },
  /** What tenants with limits have. */
  mpackd_usage: {
    kind: "text",
    name: "text",
    bytes: "bigint=",
    objects: "bigint=",
    packs: "bigint=",
    /** When all was counted the last time; null: not yet. */
    counted_at: "timestamptz?",
    /** Pushes since the hour began. */
    pushes: "bigint=",
    hour_began_at: "timestamptz?",
  },
  /** Secrets that all servers of one database share, base64. */
  mpackd_secrets: {
    name: "text",
    value: "text",
    created_at: "timestamptz=",
  },
} as const satisfies Record<string, Record<string, Column>>;

type Read<C> = C extends `${infer Name}?` ? Read<Name> | null
  : C extends keyof Types ? Types[C]
  : never;

type Typed<C> = C extends `${infer Name}=`
  ? ColumnType<Read<Name>, Read<Name> | undefined, Read<Name>>
  : C extends `${string}?` ? ColumnType<Read<C>, Read<C> | undefined, Read<C>>
  : Read<C>;

type AllTables = typeof TABLES;

/** Every table as Kysely wants to know it. */
export type Tables = {
  readonly [Name in keyof AllTables]: {
    readonly [Key in keyof AllTables[Name]]: Typed<AllTables[Name][Key]>;
  };
};

/** A row of a table as it is read. */
export type Row<Name extends keyof Tables> = Selectable<Tables[Name]>;
