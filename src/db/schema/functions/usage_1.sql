-- What owners and repos have: the packs in musehub_mpacks, their bytes and objects, without those that
-- a repack has replaced. Only tenants with a row in mpackd_usage are counted, so a database without
-- quotas writes nothing here.
--
-- Whoever changes a row of musehub_mpacks locks its tenants' rows last, in the order of their keys, and
-- ends then: pushes of one owner wait for one another for that moment, and those of two owners never.

-- The limit of a tenant: its own, else the default of the settings; null: unlimited.
create or replace function mpackd_limit_1(of_kind text, own bigint, defaults jsonb, what text)
returns bigint
language sql immutable
as $limit$
  select coalesce(own, (defaults->of_kind->>what)::bigint)
$limit$;

-- Counts again what a tenant has, and waits for whoever is changing it. A row that was not there is
-- made. The transaction's own packs are counted, too. Returns whether numbers that were there are wrong.
create or replace function mpackd_recount_1(of_kind text, of_name text)
returns boolean
language plpgsql
as $recount$
declare
  before mpackd_usage;
  there record;
begin
  insert into mpackd_usage (kind, name) values (of_kind, of_name) on conflict do nothing;
  select u.* into before from mpackd_usage u
  where u.kind = of_kind and u.name = of_name for update;
  -- A new statement, so it sees all that the lock has waited for.
  select coalesce(sum(m.size_bytes), 0) as bytes, coalesce(sum(m.objects), 0) as objects,
      count(*) as packs
    into there
    from musehub_mpacks m
    where m.replaced_at is null and m.repo_id in (
      select of_name where of_kind = 'repo'
      union all select r.repo_id from musehub_repos r where of_kind = 'owner' and r.owner = of_name);
  update mpackd_usage u set
    bytes = there.bytes, objects = there.objects, packs = there.packs, counted_at = now()
  where u.kind = of_kind and u.name = of_name;
  return before.counted_at is not null and (before.bytes, before.objects, before.packs)
    is distinct from (there.bytes::bigint, there.objects::bigint, there.packs);
end
$recount$;

-- Notes that packs have come (positive numbers) or gone (negative). Each array has an element per pack;
-- a repo of null is left out.
--
-- With defaults that are not null, checks the quotas: raises MPQ01, with a JSON document as its
-- detail, if a tenant would have more than its limit. Else returns {"<place>": [{of, what, used,
-- limit}]} with the limits of which 80 % or more are used; null if there are none.
create or replace function mpackd_count_packs_1(
  repos text[], bytes bigint[], objects bigint[], packs bigint[], defaults jsonb
) returns jsonb
language plpgsql
as $count$
#variable_conflict use_column
declare
  of_tenant record;
  of_limit record;
  usage mpackd_usage;
  quota mpackd_quotas;
  warnings jsonb;
begin
  for of_tenant in
    select t.kind, t.name, sum(c.bytes)::bigint as bytes, sum(c.objects)::bigint as objects,
      sum(c.packs)::bigint as packs, array_agg(c.place) as places
    from unnest(repos, bytes, objects, packs) with ordinality
        as c(repo, bytes, objects, packs, place)
      cross join lateral (
        select 'repo' as kind, c.repo as name
        union all select 'owner', (select r.owner from musehub_repos r where r.repo_id = c.repo)
      ) as t
    where c.repo is not null and t.name is not null
    group by t.kind, t.name
    order by t.kind, t.name collate "C"
  loop
    select u.* into usage from mpackd_usage u
    where u.kind = of_tenant.kind and u.name = of_tenant.name for update;
    if not found then
      continue when coalesce(defaults->of_tenant.kind, '{}') = '{}';
      insert into mpackd_usage (kind, name) values (of_tenant.kind, of_tenant.name)
      on conflict do nothing;
      select u.* into usage from mpackd_usage u
      where u.kind = of_tenant.kind and u.name = of_tenant.name for update;
    end if;
    if usage.counted_at is null then
      -- The next push counts. This transaction's packs are not to be counted twice.
      continue when defaults is null;
      perform mpackd_recount_1(of_tenant.kind, of_tenant.name);
    else
      update mpackd_usage u set bytes = u.bytes + of_tenant.bytes,
        objects = u.objects + of_tenant.objects, packs = u.packs + of_tenant.packs
      where u.kind = of_tenant.kind and u.name = of_tenant.name;
    end if;
    continue when defaults is null;
    select u.* into usage from mpackd_usage u
    where u.kind = of_tenant.kind and u.name = of_tenant.name;
    select q.* into quota from mpackd_quotas q
    where q.kind = of_tenant.kind and q.name = of_tenant.name;
    for of_limit in
      select l.what, l.used, l.added, mpackd_limit_1(of_tenant.kind, l.own, defaults, l.what) as most
      from (values
        ('bytes', usage.bytes, of_tenant.bytes, quota.bytes),
        ('objects', usage.objects, of_tenant.objects, quota.objects),
        ('packs', usage.packs, of_tenant.packs, quota.packs)
      ) as l(what, used, added, own)
    loop
      if of_limit.added > 0 and of_limit.used > of_limit.most then
        raise exception using errcode = 'MPQ01', message = 'a quota is used up',
          detail = jsonb_build_object('of', of_tenant.kind, 'what', of_limit.what,
            'used', of_limit.used - of_limit.added, 'limit', of_limit.most,
            'asked', of_limit.added)::text;
      elsif of_limit.used >= 0.8 * of_limit.most then
        select coalesce(warnings, '{}') || jsonb_object_agg(p.place::text,
            coalesce(warnings->p.place::text, '[]') || jsonb_build_array(jsonb_build_object(
              'of', of_tenant.kind, 'what', of_limit.what, 'used', of_limit.used,
              'limit', of_limit.most)))
          into warnings
          from unnest(of_tenant.places) as p(place);
      end if;
    end loop;
  end loop;
  return warnings;
end
$count$;

-- Whether a repo and its owner may push so many bytes and objects in one more pack (null: unknown),
-- before anything of it is stored. With is_push it is counted as one of this hour's pushes; an hour
-- begins with its first push. Returns null if neither has a quota, or the repo has the pack already;
-- else {refused: {of, what, used, limit, asked, retry_ms}}, or {bytes: {of, what, used, limit},
-- warnings: […]}: bytes is the limit that leaves the fewest.
create or replace function mpackd_admit_push_1(
  of_repo text, of_pack text, pack_bytes bigint, pack_objects bigint, defaults jsonb, is_push boolean
) returns jsonb
language plpgsql
as $admit$
#variable_conflict use_column
declare
  of_tenant record;
  of_limit record;
  usage mpackd_usage;
  quota mpackd_quotas;
  most_pushes bigint;
  left_bytes bigint;
  most_bytes jsonb;         -- the limit that leaves the fewest bytes
  is_limited boolean := false;
  is_over boolean;
  counted_kinds text[] := '{}';
  warnings jsonb := '[]';
begin
  if of_pack is not null and exists (
    select from musehub_mpacks m where m.repo_id = of_repo and m.mpack_key = of_pack)
  then
    return null;
  end if;
  for of_tenant in
    select 'owner' as kind, r.owner as name from musehub_repos r where r.repo_id = of_repo
    union all select 'repo', of_repo
    order by 1
  loop
    select q.* into quota from mpackd_quotas q
    where q.kind = of_tenant.kind and q.name = of_tenant.name;
    continue when not found and coalesce(defaults->of_tenant.kind, '{}') = '{}';
    is_limited := true;
    select u.* into usage from mpackd_usage u
    where u.kind = of_tenant.kind and u.name = of_tenant.name;
    if usage.counted_at is null then
      perform mpackd_recount_1(of_tenant.kind, of_tenant.name);
    end if;
    most_pushes := mpackd_limit_1(of_tenant.kind, quota.pushes, defaults, 'pushes');
    if is_push and most_pushes is not null then
      select u.* into usage from mpackd_usage u
      where u.kind = of_tenant.kind and u.name = of_tenant.name for update;
      counted_kinds := counted_kinds || of_tenant.kind;
    else
      select u.* into usage from mpackd_usage u
      where u.kind = of_tenant.kind and u.name = of_tenant.name;
    end if;
    if usage.hour_began_at is null or usage.hour_began_at <= now() - interval '1 hour' then
      usage.pushes := 0;
      usage.hour_began_at := now();
    end if;
    for of_limit in
      select l.what, l.used, l.asked, l.most
      from (values
        ('bytes', usage.bytes, greatest(coalesce(pack_bytes, 1), 1),
          mpackd_limit_1(of_tenant.kind, quota.bytes, defaults, 'bytes')),
        ('objects', usage.objects, coalesce(pack_objects, 0),
          mpackd_limit_1(of_tenant.kind, quota.objects, defaults, 'objects')),
        ('packs', usage.packs, 1,
          mpackd_limit_1(of_tenant.kind, quota.packs, defaults, 'packs')),
        ('pushes', usage.pushes, 1, most_pushes)
      ) as l(what, used, asked, most)
      where l.most is not null
    loop
      is_over := of_limit.used + of_limit.asked > of_limit.most;
      if is_over and (of_limit.what <> 'pushes' or is_push) then
        return jsonb_build_object('refused', jsonb_build_object('of', of_tenant.kind,
          'what', of_limit.what, 'used', of_limit.used, 'limit', of_limit.most,
          'asked', of_limit.asked, 'retry_ms', case when of_limit.what = 'pushes' then
            ceil(1000 * extract(epoch from usage.hour_began_at + interval '1 hour' - now())) end));
      elsif of_limit.used >= 0.8 * of_limit.most then
        warnings := warnings || jsonb_build_array(jsonb_build_object('of', of_tenant.kind,
          'what', of_limit.what, 'used', of_limit.used, 'limit', of_limit.most));
      end if;
      if of_limit.what = 'bytes'
        and (left_bytes is null or of_limit.most - of_limit.used < left_bytes)
      then
        left_bytes := of_limit.most - of_limit.used;
        most_bytes := jsonb_build_object('of', of_tenant.kind, 'what', 'bytes',
          'used', of_limit.used, 'limit', of_limit.most);
      end if;
    end loop;
  end loop;
  if not is_limited then
    return null;
  end if;
  -- All of them have room: count the push.
  update mpackd_usage u set
    pushes = 1 + case when u.hour_began_at > now() - interval '1 hour' then u.pushes else 0 end,
    hour_began_at = case when u.hour_began_at > now() - interval '1 hour' then u.hour_began_at
      else now() end
  from musehub_repos r
  where r.repo_id = of_repo and u.kind = any(counted_kinds)
    and (u.kind, u.name) in (('owner', r.owner), ('repo', r.repo_id));
  return jsonb_build_object('bytes', most_bytes, 'warnings', warnings);
end
$admit$;
