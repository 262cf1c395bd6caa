import type { Database } from "./client/database.ts";

const SECRET_BYTES = 32;

/** Reads the secret of a name, which all servers of one database share. The first call makes it. */
export async function sharedSecret(db: Database, name: string): Promise<Uint8Array> {
  const value = crypto.getRandomValues(new Uint8Array(SECRET_BYTES)).toBase64();
  const [row] = await db.build(
    "read a shared secret",
    (kysely) =>
      kysely.insertInto("mpackd_secrets")
        .values({ name, value })
        // An update that changes nothing, because "do nothing" would return no row.
        .onConflict((conflict) => conflict.column("name").doUpdateSet({ name }))
        .returning("value"),
  );
  return Uint8Array.fromBase64(row.value);
}
