import { arrayLiteral } from "./client/array_literal.ts";
import type { Database } from "./client/database.ts";
import type { Signer } from "./identities.ts";
import type { Row } from "./schema/tables.ts";

/** A bearer token as it is stored, without its secret. */
export interface TokenRow {
  /** The part of the token that is not secret. */
  readonly tokenId: string;
  readonly identityId: string;
  readonly handle: string;
  /** What the token allows: read, push, admin. */
  readonly scopes: string[];
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** Null until it is revoked. */
  readonly revokedAt: Date | null;
}

/** A token to store. */
export interface NewToken extends Pick<TokenRow, "tokenId" | "identityId" | "scopes"> {
  /** SHA-256 of the secret part, hex. */
  readonly secretHash: string;
  /** Milliseconds from now until it expires. */
  readonly lifetimeMs: number;
}

/** Stores a new token; returns when it expires. */
export async function createToken(db: Database, token: NewToken): Promise<Date> {
  const { tokenId, identityId, secretHash, scopes, lifetimeMs } = token;
  const [{ expires_at }] = await db.build(
    "create a token",
    (kysely, sql) =>
      kysely.insertInto("mpackd_tokens")
        .values({
          token_id: tokenId,
          identity_id: identityId,
          secret_hash: secretHash,
          scopes: sql`${arrayLiteral(scopes)}::text[]`,
          expires_at: sql`now() + ${lifetimeMs}::float8 * interval '1 ms'`,
        })
        .returning("expires_at"),
  );
  return expires_at;
}

/** A token that is neither expired nor revoked. */
export interface LiveToken {
  /** SHA-256 of the secret part, hex. */
  readonly secretHash: string;
  readonly scopes: string[];
  readonly identity: Signer;
}

/** Finds a token; undefined if it is unknown, expired or revoked, or its identity is revoked. */
export async function findToken(db: Database, tokenId: string): Promise<LiveToken | undefined> {
  const [row] = await db.query<TokenColumns>("find a token")`
    select i.identity_id, i.handle, i.is_admin, t.secret_hash,
      array_to_string(t.scopes, ',') as scope_list
    from mpackd_tokens t join mpackd_identities i using (identity_id)
    where t.token_id = ${tokenId} and t.revoked_at is null and t.expires_at > now()
      and i.revoked_at is null`;
  return row && toLiveToken(row);
}

type TokenColumns =
  & Pick<Row<"mpackd_identities">, "identity_id" | "handle" | "is_admin">
  & { secret_hash: string; scope_list: string };

/** A live token of its row. */
export function toLiveToken(row: TokenColumns): LiveToken {
  return {
    secretHash: row.secret_hash,
    scopes: row.scope_list.split(","),
    identity: { identityId: row.identity_id, handle: row.handle, isAdmin: row.is_admin },
  };
}

/** Lists all tokens, newest first, expired and revoked ones too. */
export async function listTokens(db: Database): Promise<TokenRow[]> {
  const rows = await db.build(
    "list tokens",
    (kysely, sql) =>
      kysely.selectFrom("mpackd_tokens as t")
        .innerJoin("mpackd_identities as i", "i.identity_id", "t.identity_id")
        .select([
          "t.token_id as tokenId",
          "t.identity_id as identityId",
          "i.handle",
          sql<string>`array_to_string(t.scopes, ',')`.as("scopes"),
          "t.created_at as createdAt",
          "t.expires_at as expiresAt",
          "t.revoked_at as revokedAt",
        ])
        .orderBy("t.created_at", "desc")
        .orderBy("t.token_id"),
  );
  return rows.map((row) => ({ ...row, scopes: row.scopes.split(",") }));
}

/** Revokes a token; returns whether this call revoked it. */
export async function revokeToken(db: Database, tokenId: string): Promise<boolean> {
  const rows = await db.build("revoke a token", (kysely, sql) =>
    kysely.updateTable("mpackd_tokens")
      .set({ revoked_at: sql`now()` })
      .where("token_id", "=", tokenId)
      .where("revoked_at", "is", null)
      .returning("token_id"));
  return rows.length > 0;
}
