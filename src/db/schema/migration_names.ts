/**
 * The names of all migrations, oldest first. Most commands only compare them with those that were
 * applied; the statements, which are in 30 files, are loaded by the command that applies them.
 */
export const MIGRATION_NAMES = [
  "0001_tables",
  "0002_queue",
  "0003_staging",
  "0004_damaged_refs",
  "0005_guard",
  "0006_upkeep",
  "0007_repo_queue",
  "0008_identities",
  "0009_drop_staged",
  "0010_known_objects",
  "0011_publish_functions",
  "0015_store_owner",
  "0017_history",
  "0018_uploads",
  "0019_console",
  "0022_history_functions",
  "0023_collections",
  "0024_schedules",
  "0025_walks",
  "0026_webhooks",
  "0027_shards",
  "0028_channels",
  "0029_fair_claims",
  "0030_tenants_of_old_jobs",
  "0031_shard_moves",
  "0032_claims",
  "0033_told_jobs",
] as const;

/** The name of a migration. */
export type MigrationName = typeof MIGRATION_NAMES[number];
