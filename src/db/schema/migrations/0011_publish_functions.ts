import prepare from "../functions/prepare_1.sql" with { type: "text" };
import publish from "../functions/publish_1.sql" with { type: "text" };
import stage from "../functions/stage_1.sql" with { type: "text" };
import writeObjects from "../functions/write_objects_1.sql" with { type: "text" };

/**
 * Stage and publish as functions. Their names have a number: a worker calls the version that it was
 * written for, so workers of two releases can share a database during an upgrade. What workers of
 * earlier releases use stays: the table of tombstones also has its old name, as a view.
 */
export const sql = `
-- How many rows of musehub_objects the attempts of a running job have inserted.
alter table musehub_background_jobs add column if not exists objects_written bigint;

alter table mpackd_doomed rename to mpackd_tombstones;
alter table mpackd_tombstones rename column doomed_at to created_at;
create view mpackd_doomed as select name, created_at as doomed_at from mpackd_tombstones;
declare
  granted record;
begin
  -- A role that could use the table can use the view.
  for granted in
    select acl.privilege_type, acl.grantee::regrole as grantee
    from pg_class c, aclexplode(c.relacl) as acl
    where c.oid = 'mpackd_tombstones'::regclass and acl.grantee <> 0 and acl.grantee <> c.relowner
      and acl.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  loop
    execute format('grant %s on mpackd_doomed to %s', granted.privilege_type, granted.grantee);
  end loop;
end;

${stage}
${prepare}
${writeObjects}
${publish}
`;
