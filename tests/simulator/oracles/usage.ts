/**
 * What tenants may have, and what the database says that they have: every change of a count is written
 * down by a trigger, in the transaction that makes it.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import { execute } from "../../../src/db/client/execute.ts";
import type { QuotaError } from "../../../src/errors.ts";

/** Limits of one tenant. */
export interface Limits {
  readonly bytes?: number;
  readonly objects?: number;
  readonly packs?: number;
  readonly pushes?: number;
}

const NAMES = ["bytes", "objects", "packs", "pushes"] as const;
/** A count is visible a moment after its trigger ran, and until a moment after the next one's. */
const SLACK_MS = 10_000;

/** Begins to write the changes down. */
export async function installUsageLog({ sql }: Database): Promise<void> {
  await sql`create table usage_log (nr bigserial, at timestamptz default clock_timestamp(),
    kind text, name text, bytes bigint, objects bigint, packs bigint, pushes bigint)`;
  await sql.unsafe(`
    create function log_usage() returns trigger language plpgsql as $$
    begin
      if new.counted_at is not null then
        insert into usage_log (kind, name, bytes, objects, packs, pushes)
        values (new.kind, new.name, new.bytes, new.objects, new.packs, new.pushes);
      end if;
      return null;
    end $$`);
  await sql`create trigger log_usage after insert or update on mpackd_usage
    for each row execute function log_usage()`;
}

/** Tenants whose count is not what is there. In one statement: two could see half of a publish. */
export async function wrongUsage(db: Database): Promise<string[]> {
  const query = db.sql<{ problem: string }[]>`
    select format('%s %s has %s bytes, %s objects, %s packs, and is said to have %s, %s, %s',
      u.kind, u.name, own.bytes, own.objects, own.packs, u.bytes, u.objects, u.packs) as problem
    from mpackd_usage u
    cross join lateral (
      select coalesce(sum(m.size_bytes), 0) as bytes, coalesce(sum(m.objects), 0) as objects,
        count(*) as packs
      from musehub_mpacks m left join musehub_repos r on r.repo_id = m.repo_id
      where m.replaced_at is null
        and case u.kind when 'repo' then m.repo_id = u.name else r.owner = u.name end
    ) as own
    where u.counted_at is not null
      and (own.bytes, own.objects, own.packs) is distinct from
        (u.bytes::numeric, u.objects::numeric, u.packs)`;
  const rows = await execute(db, query, { action: "compare the usage" });
  return rows.map(({ problem }) => problem);
}

interface Logged extends Record<typeof NAMES[number], number> {
  readonly at: Date;
  readonly kind: string;
  readonly name: string;
}

async function readLog(db: Database): Promise<Map<string, Logged[]>> {
  const rows = await db.sql<Logged[]>`
    select at, kind, name, bytes, objects, packs, pushes from usage_log order by nr`;
  return Map.groupBy(rows, ({ kind, name }) => `${kind} ${name}`);
}

/** Moments at which a tenant had more than its limit. */
export async function limitsExceeded(
  db: Database,
  limits: ReadonlyMap<string, Limits>,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [tenant, log] of await readLog(db)) {
    for (const name of NAMES) {
      const most = limits.get(tenant)?.[name] ?? Infinity;
      const over = log.find((row) => row[name] > most);
      if (over) problems.push(`${tenant} had ${over[name]} ${name} of ${most}`);
    }
  }
  return problems;
}

/** A refusal, as its message tells it. */
interface Refusal {
  readonly of: string;
  readonly what: typeof NAMES[number];
  readonly used: number;
  readonly limit: number;
  readonly asked: number;
}

function readRefusal(message: string): Refusal | undefined {
  const number = (text = "1") => Number(text.replaceAll(",", ""));
  const of = message.includes("the repo's owner") ? "owner" : "repo";
  const room = /has ([\d,]+) of ([\d,]+) (bytes|objects|packs), and it would bring ([\d,]+)?/
    .exec(message);
  if (room !== null) {
    const [, used, limit, what, asked] = room;
    return {
      of,
      what: what as Refusal["what"],
      used: number(used),
      limit: number(limit),
      asked: number(asked),
    };
  }
  const often = /has pushed ([\d,]+) times? in this hour and may ([\d,]+) times?/.exec(message);
  if (often === null) return undefined;
  return { of, what: "pushes", used: number(often[1]), limit: number(often[2]), asked: 1 };
}

/** Refusals of tenants that had room, or that never had what the refusal says. */
export async function wrongRefusals(
  db: Database,
  limits: ReadonlyMap<string, Limits>,
  ofPushes: readonly QuotaError[],
): Promise<string[]> {
  const log = await readLog(db), problems: string[] = [];
  const check = (message: string, isTenant: (tenant: string) => boolean, during?: [Date, Date]) => {
    const refusal = readRefusal(message);
    if (refusal === undefined) return problems.push(`cannot read: ${message}`);
    const { of, what, used, limit, asked } = refusal;
    if (used + asked <= limit) problems.push(`there was room: ${message}`);
    const tenants = [...limits.keys()].filter((tenant) =>
      tenant.startsWith(`${of} `) && limits.get(tenant)![what] === limit && isTenant(tenant)
    );
    const isTrue = tenants.some((tenant) => {
      const rows = log.get(tenant) ?? [];
      return used === 0 || rows.some((row, i) => {
        if (row[what] !== used) return false;
        if (during === undefined) return true;
        const until = rows.slice(i + 1).find((next) => next[what] !== used)?.at;
        return row.at.getTime() <= during[1].getTime() + SLACK_MS &&
          (until?.getTime() ?? Infinity) >= during[0].getTime() - SLACK_MS;
      });
    });
    if (!isTrue) problems.push(`nobody had so much: ${message}`);
  };
  for (const { message } of ofPushes) check(message, () => true);
  const jobs = await db.sql<
    { repo: string; owner: string | null; message: string; began: Date; ended: Date }[]
  >`
    select j.repo_id as repo, r.owner, j.last_error->>'message' as message,
      coalesce(j.started_at, j.created_at) as began, j.finished_at as ended
    from musehub_background_jobs j left join musehub_repos r on r.repo_id = j.repo_id
    where j.status = 'failed' and j.last_error->>'code' = 'quota-exceeded'`;
  for (const { repo, owner, message, began, ended } of jobs) {
    const isTenant = (tenant: string) =>
      tenant === `repo ${repo}` || owner === null || tenant === `owner ${owner}`;
    check(message, isTenant, [began, ended]);
  }
  return problems;
}
