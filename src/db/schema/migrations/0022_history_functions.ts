import history from "../functions/history_2.sql" with { type: "text" };
import isAncestor from "../functions/is_ancestor_1.sql" with { type: "text" };
import prepare from "../functions/prepare_2.sql" with { type: "text" };
import publish from "../functions/publish_2.sql" with { type: "text" };
import stage from "../functions/stage_2.sql" with { type: "text" };
import writeRecords from "../functions/write_records_1.sql" with { type: "text" };

/**
 * Stage and publish with history. Version 1 of the functions stays for workers of the release before:
 * they index the objects of a pack and leave its history out.
 */
export const sql = `
${stage}
${prepare}
${isAncestor}
${writeRecords}
${history}
${publish}

-- Whoever ends a job drops what was staged for it, records included.
create or replace function mpackd_drop_staged(ended_job text) returns bigint
  language sql volatile as $drop$
  with records as (delete from mpack_staged_records where job_id = ended_job),
    dropped as (delete from mpack_staged_objects where job_id = ended_job returning 1)
  select count(*) from dropped
$drop$;
`;
