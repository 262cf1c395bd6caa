/**
 * The quotas of a repo and its owner in the repo's shard, where its packs are published and counted.
 *
 * @module
 */

import type { Database } from "../client/database.ts";

/**
 * Copies what the catalog limits of a repo and its owner into the repo's shard. To be called before
 * the repo has packs there: they are counted from then on.
 */
export async function copyQuotas(
  catalog: Database,
  db: Database,
  { owner, repoId }: { readonly owner: string; readonly repoId: string },
): Promise<void> {
  const [{ quotas }] = await catalog.query<{ quotas: unknown }>("read quotas to copy")`
    select jsonb_agg(to_jsonb(q) order by q.kind, q.name) as quotas from mpackd_quotas q
    where q.kind = 'owner' and q.name = ${owner} or q.kind = 'repo' and q.name = ${repoId}`;
  if (quotas === null) return;
  await db.query("copy quotas into a shard")`
    with given as (
      select * from jsonb_populate_recordset(null::mpackd_quotas, ${
    JSON.stringify(quotas)
  }::text::jsonb)
    ), used as (
      insert into mpackd_usage (kind, name) select kind, name from given on conflict do nothing
    )
    insert into mpackd_quotas as q (kind, name, bytes, objects, packs, pushes)
    select kind, name, bytes, objects, packs, pushes from given
    on conflict (kind, name) do update set bytes = excluded.bytes, objects = excluded.objects,
      packs = excluded.packs, pushes = excluded.pushes, changed_at = now()`;
}
