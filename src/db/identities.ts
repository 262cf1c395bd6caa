import { ConfigError } from "../errors.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";

/** Somebody who may talk to the HTTP API. */
export interface Identity {
  /** `sha256:` and the hex digest of the raw public key. */
  readonly identityId: string;
  /** Its name for people; the owner part of its repos' names. */
  readonly handle: string;
  /** The raw Ed25519 public key, base64. */
  readonly publicKey: string;
  /** Whether a program and not a person. */
  readonly isAgent: boolean;
  /** Whether every repo is open to it. */
  readonly isAdmin: boolean;
  /** When it was created. */
  readonly createdAt: Date;
  /** When it was revoked; null while it is good. */
  readonly revokedAt: Date | null;
}

/** An identity to be made. */
export type NewIdentity = Pick<
  Identity,
  "identityId" | "handle" | "publicKey" | "isAgent" | "isAdmin"
>;

/**
 * Makes an identity.
 *
 * @throws {ConfigError} If the key is known already, revoked or not, or the handle is in use.
 */
export async function createIdentity(database: Database, identity: NewIdentity): Promise<Identity> {
  const { identityId, handle, publicKey, isAgent, isAdmin } = identity;
  const rows = await execute(
    database,
    database.sql`
      insert into mpackd_identities (identity_id, handle, public_key, is_agent, is_admin)
      values (${identityId}, ${handle}, ${publicKey}, ${isAgent}::boolean, ${isAdmin}::boolean)
      on conflict do nothing
      returning identity_id`,
    { action: "create an identity" },
  );
  const found = await findIdentity(database, identityId);
  if (rows.length === 0 || found === undefined) {
    const which = found === undefined ? `the handle ${handle} is in use` : "its key is known";
    throw new ConfigError(`Cannot create the identity ${handle}: ${which}`);
  }
  return found;
}

/** Looks an identity up, revoked or not. */
export async function findIdentity(
  database: Database,
  identityId: string,
): Promise<Identity | undefined> {
  const [row] = await execute(
    database,
    database.sql<Identity[]>`
      select ${columns(database)} from mpackd_identities i where identity_id = ${identityId}`,
    { action: "look an identity up" },
  );
  return row;
}

/** Looks up who has this handle now. */
export async function findHandle(
  database: Database,
  handle: string,
): Promise<Identity | undefined> {
  const [row] = await execute(
    database,
    database.sql<Identity[]>`
      select ${columns(database)} from mpackd_identities i
      where handle = ${handle} and revoked_at is null`,
    { action: "look an identity up" },
  );
  return row;
}

/** Lists all identities, revoked ones too, by handle. */
export async function listIdentities(database: Database): Promise<Identity[]> {
  return [
    ...await execute(
      database,
      database.sql<Identity[]>`
        select ${columns(database)} from mpackd_identities i order by handle, created_at`,
      { action: "list identities" },
    ),
  ];
}

/**
 * Revokes an identity, by handle or id: nothing it has signed and none of its tokens counts from
 * now on.
 *
 * @returns Whether there was one to revoke.
 */
export async function revokeIdentity(database: Database, handleOrId: string): Promise<boolean> {
  const rows = await execute(
    database,
    database.sql`
      update mpackd_identities set revoked_at = now()
      where (handle = ${handleOrId} or identity_id = ${handleOrId}) and revoked_at is null
      returning identity_id`,
    { action: "revoke an identity" },
  );
  return rows.length > 0;
}

/** Whether anybody was ever given an identity; revoking the last one does not open the doors. */
export async function hasIdentities(database: Database): Promise<boolean> {
  const [row] = await execute(
    database,
    database.sql<{ found: boolean }[]>`select exists (select from mpackd_identities) as found`,
    { action: "look for identities" },
  );
  return row.found;
}

/**
 * Notes that a signature was used, and looks at its signer again: one statement, so that of two
 * requests with one signature, on whichever servers, one is refused.
 *
 * @returns `isFresh` false if it was seen before; undefined if the signer is unknown or revoked.
 */
export async function admitSignature(
  database: Database,
  { identityId, signatureHash, expiresAt }: {
    readonly identityId: string;
    readonly signatureHash: string;
    readonly expiresAt: Date;
  },
): Promise<{ readonly identity: Identity; readonly isFresh: boolean } | undefined> {
  const [row] = await execute(
    database,
    database.sql<(Identity & { isFresh: boolean })[]>`
      with signer as materialized (
        select * from mpackd_identities where identity_id = ${identityId} and revoked_at is null
      ), noted as (
        insert into mpackd_seen_signatures (signature_hash, expires_at)
        select ${signatureHash}, ${expiresAt.toISOString()}::timestamptz from signer
        on conflict (signature_hash) do nothing
        returning 1
      )
      select ${columns(database)}, exists (select from noted) as "isFresh" from signer i`,
    { action: "note a signature" },
  );
  if (row === undefined) return undefined;
  const { isFresh, ...identity } = row;
  return { identity, isFresh };
}

/** Forgets signatures that have expired; returns how many. */
export async function forgetSignatures(database: Database): Promise<number> {
  const rows = await execute(
    database,
    database.sql`
      delete from mpackd_seen_signatures where signature_hash in (
        select signature_hash from mpackd_seen_signatures where expires_at < now() limit 10000
      ) returning 1`,
    { action: "forget old signatures" },
  );
  return rows.length;
}

function columns({ sql }: Database) {
  return sql`
    i.identity_id as "identityId", i.handle, i.public_key as "publicKey", i.is_agent as "isAgent",
    i.is_admin as "isAdmin", i.created_at as "createdAt", i.revoked_at as "revokedAt"`;
}
