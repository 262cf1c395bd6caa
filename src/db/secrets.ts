import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

const SECRET_BYTES = 32;

/** The secret of that name, which all servers of one database share; the first to ask makes it. */
export async function sharedSecret(database: Database, name: string): Promise<Uint8Array> {
  const made = crypto.getRandomValues(new Uint8Array(SECRET_BYTES)).toBase64();
  const [row] = await execute(
    database,
    database.sql<{ value: string }[]>`
      with made as (
        insert into mpackd_secrets (name, value) values (${name}, ${made})
        on conflict (name) do update set name = excluded.name
        returning value
      )
      select value from made`,
    { action: "read a shared secret" },
  );
  return Uint8Array.fromBase64(row.value);
}
