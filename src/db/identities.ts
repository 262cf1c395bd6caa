import { ConfigError } from "../errors.ts";
import type { Database } from "./client/database.ts";
import type { Row } from "./schema/tables.ts";

/** A person or program that may use the HTTP API. */
export interface Identity {
  /** `sha256:` and the hex digest of the raw public key. */
  readonly identityId: string;
  /** The name for display, and the owner part of its repos' names. */
  readonly handle: string;
  /** The raw Ed25519 public key, base64. */
  readonly publicKey: string;
  readonly isAgent: boolean;
  /** Whether it may use every repo. */
  readonly isAdmin: boolean;
  readonly createdAt: Date;
  /** Null until it is revoked. */
  readonly revokedAt: Date | null;
}

/** What each request needs of its identity. */
export type Signer = Pick<Identity, "identityId" | "handle" | "isAdmin">;

/** An identity to create. */
export type NewIdentity = Pick<
  Identity,
  "identityId" | "handle" | "publicKey" | "isAgent" | "isAdmin"
>;

/** An identity of its row. */
function toIdentity(row: Row<"mpackd_identities">): Identity {
  return {
    identityId: row.identity_id,
    handle: row.handle,
    publicKey: row.public_key,
    isAgent: row.is_agent,
    isAdmin: row.is_admin,
    createdAt: row.created_at,
    revokedAt: row.revoked_at,
  };
}

/**
 * Creates an identity.
 *
 * @throws {ConfigError} If the key is known, revoked or not, or the handle is in use.
 */
export async function createIdentity(db: Database, identity: NewIdentity): Promise<Identity> {
  const { identityId, handle, publicKey, isAgent, isAdmin } = identity;
  const created = await db.build(
    "create an identity",
    (kysely) =>
      kysely.insertInto("mpackd_identities")
        .values({
          identity_id: identityId,
          handle,
          public_key: publicKey,
          is_agent: isAgent,
          is_admin: isAdmin,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning("identity_id"),
  );
  const found = await findIdentity(db, identityId);
  if (created.length === 0 || found === undefined) {
    const why = found === undefined ? `the handle ${handle} is in use` : "its key is known";
    throw cannotCreate(handle, why);
  }
  return found;
}

/** The error of an identity that cannot be created. */
export function cannotCreate(handle: string, why: string): ConfigError {
  return new ConfigError(`Cannot create the identity ${handle}: ${why}`);
}

/** Finds an identity by its id, revoked or not. */
export async function findIdentity(
  db: Database,
  identityId: string,
): Promise<Identity | undefined> {
  const [row] = await db.query<Row<"mpackd_identities">>("find an identity")`
    select * from mpackd_identities where identity_id = ${identityId}`;
  return row && toIdentity(row);
}

/** Finds the identity that has a handle and is not revoked. */
export async function findHandle(db: Database, handle: string): Promise<Identity | undefined> {
  const [row] = await db.build(
    "find an identity",
    (kysely) =>
      kysely.selectFrom("mpackd_identities")
        .selectAll()
        .where("handle", "=", handle)
        .where("revoked_at", "is", null),
  );
  return row && toIdentity(row);
}

/** Lists all identities by handle, revoked ones too. */
export async function listIdentities(db: Database): Promise<Identity[]> {
  const rows = await db.build(
    "list identities",
    (kysely) =>
      kysely.selectFrom("mpackd_identities").selectAll().orderBy("handle").orderBy("created_at"),
  );
  return rows.map(toIdentity);
}

/**
 * Revokes an identity, by handle or id. Its signatures and tokens are refused from now on.
 *
 * @returns Whether this call revoked one.
 */
export async function revokeIdentity(db: Database, handleOrId: string): Promise<boolean> {
  const rows = await db.build(
    "revoke an identity",
    (kysely, sql) =>
      kysely.updateTable("mpackd_identities")
        .set({ revoked_at: sql`now()` })
        .where((eb) => eb.or([eb("handle", "=", handleOrId), eb("identity_id", "=", handleOrId)]))
        .where("revoked_at", "is", null)
        .returning("identity_id"),
  );
  return rows.length > 0;
}

/** Whether an identity was ever created. Revoked ones count, so that access stays closed. */
export async function hasIdentities(db: Database): Promise<boolean> {
  const [row] = await db.query<{ found: boolean }>("look for identities")`
    select exists (select from mpackd_identities) as found`;
  return row.found;
}

/**
 * Records that a signature was used, and reads its signer. One statement: if two requests carry the
 * same signature, to any servers, one of them is refused.
 *
 * @returns `isFresh` is false if the signature was used before. Undefined if the signer is unknown
 * or revoked.
 */
export async function admitSignature(
  db: Database,
  { identityId, signatureHash, expiresAt }: {
    readonly identityId: string;
    readonly signatureHash: string;
    readonly expiresAt: Date;
  },
): Promise<{ readonly identity: Identity; readonly isFresh: boolean } | undefined> {
  type Signer = Row<"mpackd_identities"> & { is_fresh: boolean };
  const [row] = await db.query<Signer>("record a signature")`
    with signer as materialized (
      select * from mpackd_identities where identity_id = ${identityId} and revoked_at is null
    ), recorded as (
      insert into mpackd_seen_signatures (signature_hash, expires_at)
      select ${signatureHash}, ${expiresAt.toISOString()}::timestamptz from signer
      on conflict (signature_hash) do nothing
      returning 1
    )
    select *, exists (select from recorded) as is_fresh from signer`;
  return row && { identity: toIdentity(row), isFresh: row.is_fresh };
}

const FORGOTTEN_AT_ONCE = 10_000;

/** Deletes all signatures that have expired; returns how many. Other servers may do so meanwhile. */
export async function forgetSignatures(db: Database): Promise<number> {
  for (let forgotten = 0;;) {
    const rows = await db.build(
      "forget old signatures",
      (kysely, sql) =>
        kysely.deleteFrom("mpackd_seen_signatures")
          .where("signature_hash", "in", (eb) =>
            eb.selectFrom("mpackd_seen_signatures")
              .select("signature_hash")
              .where("expires_at", "<", sql<Date>`now()`)
              .limit(FORGOTTEN_AT_ONCE)
              .forUpdate()
              .skipLocked())
          .returning(sql`1`.as("one")),
    );
    forgotten += rows.length;
    if (rows.length < FORGOTTEN_AT_ONCE) return forgotten;
  }
}
