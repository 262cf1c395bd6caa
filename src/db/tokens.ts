import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import { execute } from "./client/execute.ts";
import type { Identity } from "./identities.ts";

/** A bearer token as it is kept; the secret itself is not. */
export interface TokenRow {
  /** The part of the token that is no secret. */
  readonly tokenId: string;
  /** Whose it is. */
  readonly identityId: string;
  /** The handle of whose it is. */
  readonly handle: string;
  /** What it is good for: read, push, admin. */
  readonly scopes: string[];
  /** When it was created. */
  readonly createdAt: Date;
  /** When it stops working. */
  readonly expiresAt: Date;
  /** When it was revoked; null while it is good. */
  readonly revokedAt: Date | null;
}

/** A token to be kept. */
export interface NewToken extends Pick<TokenRow, "tokenId" | "identityId" | "scopes"> {
  /** SHA-256 of its secret part, hex. */
  readonly secretHash: string;
  /** How long it works, in milliseconds from now. */
  readonly lifetimeMs: number;
}

/** Keeps a new token; returns when it stops working. */
export async function createToken(database: Database, token: NewToken): Promise<Date> {
  const { tokenId, identityId, secretHash, scopes, lifetimeMs } = token;
  const [row] = await execute(
    database,
    database.sql<{ expiresAt: Date }[]>`
      insert into mpackd_tokens (token_id, identity_id, secret_hash, scopes, expires_at)
      values (${tokenId}, ${identityId}, ${secretHash}, ${arrayLiteral(scopes)}::text[],
        now() + ${lifetimeMs}::float8 * interval '1 ms')
      returning expires_at as "expiresAt"`,
    { action: "create a token" },
  );
  return row.expiresAt;
}

/** A token that works, and whose it is. */
export interface LiveToken {
  /** SHA-256 of its secret part, hex. */
  readonly secretHash: string;
  /** What it is good for. */
  readonly scopes: string[];
  /** Whose it is. */
  readonly identity: Identity;
}

/** Looks a token up; undefined if it is unknown, expired or revoked, or its owner is. */
export async function findToken(
  database: Database,
  tokenId: string,
): Promise<LiveToken | undefined> {
  type Row = Identity & { secretHash: string; scopes: string };
  const [row] = await execute(
    database,
    database.sql<Row[]>`
      select t.secret_hash as "secretHash", array_to_string(t.scopes, ',') as scopes,
        i.identity_id as "identityId", i.handle, i.public_key as "publicKey",
        i.is_agent as "isAgent", i.is_admin as "isAdmin", i.created_at as "createdAt",
        i.revoked_at as "revokedAt"
      from mpackd_tokens t join mpackd_identities i using (identity_id)
      where t.token_id = ${tokenId} and t.revoked_at is null and t.expires_at > now()
        and i.revoked_at is null`,
    { action: "look a token up" },
  );
  if (row === undefined) return undefined;
  const { secretHash, scopes, ...identity } = row;
  return { secretHash, scopes: scopes.split(","), identity };
}

/** Lists all tokens, those that no longer work too, newest first. */
export async function listTokens(database: Database): Promise<TokenRow[]> {
  type Row = Omit<TokenRow, "scopes"> & { scopes: string };
  const rows = await execute(
    database,
    database.sql<Row[]>`
      select t.token_id as "tokenId", t.identity_id as "identityId", i.handle,
        array_to_string(t.scopes, ',') as scopes, t.created_at as "createdAt",
        t.expires_at as "expiresAt", t.revoked_at as "revokedAt"
      from mpackd_tokens t join mpackd_identities i using (identity_id)
      order by t.created_at desc, t.token_id`,
    { action: "list tokens" },
  );
  return rows.map((row) => ({ ...row, scopes: row.scopes.split(",") }));
}

/** Revokes a token; returns whether there was one to revoke. */
export async function revokeToken(database: Database, tokenId: string): Promise<boolean> {
  const rows = await execute(
    database,
    database.sql`
      update mpackd_tokens set revoked_at = now()
      where token_id = ${tokenId} and revoked_at is null returning token_id`,
    { action: "revoke a token" },
  );
  return rows.length > 0;
}
