import type { MigrationName } from "../migration_names.ts";
import { createOrComplete, type TableShape } from "../table_shape.ts";
import { tables } from "./0001_tables.ts";
import { sql as queue } from "./0002_queue.ts";
import { sql as staging } from "./0003_staging.ts";
import { sql as damagedRefs } from "./0004_damaged_refs.ts";
import { sql as guard } from "./0005_guard.ts";
import { sql as maintenance } from "./0006_maintenance.ts";
import { sql as repoQueue } from "./0007_repo_queue.ts";
import { sql as identities } from "./0008_identities.ts";
import { sql as dropStaged } from "./0009_drop_staged.ts";
import { sql as knownObjects } from "./0010_known_objects.ts";
import { sql as publishFunctions } from "./0011_publish_functions.ts";
import { sql as storeOwner } from "./0015_store_owner.ts";
import { historyTables, sql as history } from "./0017_history.ts";
import { sql as uploads } from "./0018_uploads.ts";
import { sql as console } from "./0019_console.ts";
import { sql as historyFunctions } from "./0022_history_functions.ts";
import { sql as collections } from "./0023_collections.ts";
import { sql as schedules } from "./0024_schedules.ts";
import { sql as walks } from "./0025_walks.ts";
import claims from "../functions/claims_1.sql" with { type: "text" };
import channels from "../functions/channels_1.sql" with { type: "text" };
import shards from "../functions/shards_1.sql" with { type: "text" };
import shardMoves from "../functions/shard_moves_2.sql" with { type: "text" };
import nextJobs from "../functions/next_jobs_1.sql" with { type: "text" };
import tenantsOfOldJobs from "../functions/tenants_of_old_jobs.sql" with { type: "text" };
import toldJobs from "../functions/told_jobs_1.sql" with { type: "text" };
import webhooks from "../functions/webhooks_1.sql" with { type: "text" };

/** One migration. After its release its statements never change; another migration follows. */
export interface Migration {
  /** Its file's name without the ending; listed in migration_names.ts, too. */
  readonly name: MigrationName;
  /** Statements for the body of a PL/pgSQL block. */
  readonly sql: string;
  /** Changes a bounded number of rows. It is sent again until it changes none, and then `sql`. */
  readonly batch?: string;
  /** The tables in it that other programs may have made already. */
  readonly tables?: readonly TableShape[];
}

/** Every migration, oldest first. */
export const migrations: readonly Migration[] = [
  { name: "0001_tables", sql: tables.map(createOrComplete).join("\n"), tables },
  { name: "0002_queue", sql: queue },
  { name: "0003_staging", sql: staging },
  { name: "0004_damaged_refs", sql: damagedRefs },
  { name: "0005_guard", sql: guard },
  { name: "0006_upkeep", sql: maintenance },
  { name: "0007_repo_queue", sql: repoQueue },
  { name: "0008_identities", sql: identities },
  { name: "0009_drop_staged", sql: dropStaged },
  { name: "0010_known_objects", sql: knownObjects },
  { name: "0011_publish_functions", sql: publishFunctions },
  { name: "0015_store_owner", sql: storeOwner },
  { name: "0017_history", sql: history, tables: historyTables },
  { name: "0018_uploads", sql: uploads },
  { name: "0019_console", sql: console },
  { name: "0022_history_functions", sql: historyFunctions },
  { name: "0023_collections", sql: collections },
  { name: "0024_schedules", sql: schedules },
  { name: "0025_walks", sql: walks },
  { name: "0026_webhooks", sql: webhooks },
  { name: "0027_shards", sql: shards },
  { name: "0028_channels", sql: channels },
  { name: "0029_fair_claims", sql: nextJobs },
  { name: "0030_tenants_of_old_jobs", sql: "", batch: tenantsOfOldJobs },
  { name: "0031_shard_moves", sql: shardMoves },
  { name: "0032_claims", sql: claims },
  { name: "0033_told_jobs", sql: toldJobs },
];
