/**
 * What of the queue is paused: all of it, a job type, or a repo. Running jobs go on.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";

/** One pause. */
export type Pause =
  | { readonly kind: "all" }
  | { readonly kind: "type"; readonly value: string }
  | { readonly kind: "repo"; readonly value: string };

/** All pauses. */
export interface Pauses {
  readonly isAll: boolean;
  readonly types: readonly string[];
  readonly repoIds: readonly string[];
}

/** Reads what is paused. */
export async function readPauses(db: Database): Promise<Pauses> {
  const rows = await db.query<{ kind: string; value: string }>("read what is paused")`
    select kind, value from mpackd_pauses order by kind, value`;
  const valuesOf = (kind: string) =>
    rows.filter((row) => row.kind === kind).map(({ value }) => value);
  return {
    isAll: rows.some(({ kind }) => kind === "all"),
    types: valuesOf("type"),
    repoIds: valuesOf("repo"),
  };
}

/** The pauses of a catalog and its shards: what the catalog pauses is paused everywhere. */
export function mergePauses(all: readonly Pauses[]): Pauses {
  const union = (of: (pauses: Pauses) => readonly string[]) => [...new Set(all.flatMap(of))].sort();
  return {
    isAll: all.some(({ isAll }) => isAll),
    types: union(({ types }) => types),
    repoIds: union(({ repoIds }) => repoIds),
  };
}

/** Pauses; a second time changes nothing. Workers claim no such job from a second later on. */
export async function pause(db: Database, pause: Pause): Promise<void> {
  await db.query("pause jobs")`
    insert into mpackd_pauses (kind, value) values (${pause.kind}, ${valueOf(pause)})
    on conflict do nothing`;
}

/** Ends a pause, and wakes the workers. Returns whether there was one. */
export async function resume(db: Database, pause: Pause): Promise<boolean> {
  const rows = await db.query("resume jobs")`
    with ended as (
      delete from mpackd_pauses where kind = ${pause.kind} and value = ${valueOf(pause)}
      returning kind
    )
    select mpackd_notify_1('resumed') from ended`;
  return rows.length > 0;
}

function valueOf(pause: Pause): string {
  return pause.kind === "all" ? "" : pause.value;
}
