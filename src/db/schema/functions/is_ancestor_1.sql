-- Whether one commit is among the first parents of another, itself included. Each commit knows a jump:
-- a commit further down this line, chosen so that any depth is reached in some 2 log2(depth) steps.
--
-- Source of the jumps: E. W. Myers, "An applicative random-access stack", Information Processing
-- Letters 17(5), 1983.
create or replace function mpackd_is_first_parent_1(
  of_repo text, ancestor text, ancestor_depth integer, descendant text
) returns boolean
language plpgsql stable
as $line$
declare
  at_id text := descendant;
  at_depth integer;
  at_jump text;
  at_parent text;
  jump_depth integer;
begin
  loop
    select g.depth, g.jump_id, g.parent_ids[1] into at_depth, at_jump, at_parent
    from musehub_commit_graph g where g.repo_id = of_repo and g.commit_id = at_id;
    if not found or at_depth is null or at_depth <= ancestor_depth then
      return at_id = ancestor;
    end if;
    select g.depth into jump_depth
    from musehub_commit_graph g where g.repo_id = of_repo and g.commit_id = at_jump;
    at_id := case when jump_depth >= ancestor_depth then at_jump else at_parent end;
  end loop;
end
$line$;

-- Whether a commit is an ancestor of one of the others, or one of them. False if the repo lacks it,
-- or one of its ancestors.
--
-- Most questions are about a branch's line of first parents, or a commit merged into it, and are
-- answered after few rows: the search goes up from the commit until it meets a line of first parents,
-- and down from the others, pruned by generation. Neither side knows which one ends first, so both
-- get a budget that grows. It grows in small steps: in a history of many roots one side ends after
-- some hundred commits, the other after some ten thousand.
create or replace function mpackd_is_ancestor_1(
  of_repo text, ancestor text, descendants text[]
) returns boolean
language plpgsql stable
-- Any other plan than an index lookup for each row would read the history.
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $ancestor$
declare
  low_generation integer;
  low_depth integer;
  high_generation integer;
  tops text[];
  budget integer := 64;
  rows_seen integer;
  one record;
begin
  if ancestor = any(descendants) then return true; end if;
  select g.generation, g.depth into low_generation, low_depth
  from musehub_commit_graph g where g.repo_id = of_repo and g.commit_id = ancestor;
  if low_generation is null then return false; end if;
  select array_agg(g.commit_id order by g.generation desc), max(g.generation)
    into tops, high_generation
  from unnest(descendants) as d(commit_id)
  cross join lateral (
    select g.commit_id, g.generation from musehub_commit_graph g
    where g.repo_id = of_repo and g.commit_id = d.commit_id and g.generation > low_generation
    offset 0
  ) as g;
  if tops is null then return false; end if;

  loop
    -- 1. Up: each commit found this way descends from the ancestor, so the first one on the line of
    -- a top is the answer. A commit on such a line has its first parent there, too. So only the
    -- ancestor itself has to be looked for, and what was reached as a second parent's child: looking
    -- for one takes seven times as long as finding it.
    rows_seen := 0;
    for one in
      with recursive up as (
        select g.commit_id, g.depth, true as is_merge
        from musehub_commit_graph g where g.repo_id = of_repo and g.commit_id = ancestor
        union
        select child.commit_id, child.depth, child.is_merge
        from up cross join lateral (
          select g.commit_id, g.depth, g.generation, false as is_merge from musehub_commit_graph g
          where g.repo_id = of_repo and g.parent_ids[1] = up.commit_id collate "default"
          union all
          select g.commit_id, g.depth, g.generation, true as is_merge from musehub_commit_graph g
          where g.repo_id = of_repo and g.parent_ids[2] = up.commit_id collate "default"
            and g.parent_ids[2] is not null
        ) as child
        where child.generation <= high_generation
      )
      select up.commit_id, up.depth, up.is_merge from up limit budget
    loop
      rows_seen := rows_seen + 1;
      if one.commit_id = any(tops) then return true; end if;
      continue when not one.is_merge;
      for n in 1 .. least(cardinality(tops), 16) loop
        if mpackd_is_first_parent_1(of_repo, one.commit_id, one.depth, tops[n]) then
          return true;
        end if;
      end loop;
    end loop;
    if rows_seen < budget then return false; end if;

    -- 2. Down: down to the ancestor's generation. A row takes a third of the time here.
    rows_seen := 0;
    for one in
      with recursive down as (
        select g.commit_id, g.parent_ids
        from unnest(tops) as t(commit_id)
        cross join lateral (
          select g.commit_id, g.parent_ids from musehub_commit_graph g
          where g.repo_id = of_repo and g.commit_id = t.commit_id offset 0
        ) as g
        union
        select parent.commit_id, parent.parent_ids
        from down cross join lateral unnest(down.parent_ids) as p(commit_id)
        cross join lateral (
          select g.commit_id, g.parent_ids from musehub_commit_graph g
          where g.repo_id = of_repo and g.commit_id = p.commit_id
            and g.generation >= low_generation
          offset 0
        ) as parent
      )
      select down.commit_id from down limit 4 * budget
    loop
      if one.commit_id = ancestor then return true; end if;
      rows_seen := rows_seen + 1;
    end loop;
    if rows_seen < 4 * budget then return false; end if;
    budget := least(budget::bigint * 4, 500000000);
  end loop;
end
$ancestor$;
