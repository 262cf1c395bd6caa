/**
 * The one statement before an answer: a token, the repo that its request names, and one object there.
 *
 * Nothing of it is kept: each request asks again, so a token that was revoked, or a collaborator who
 * was removed, is refused by the next one.
 *
 * @module
 */

import type { Database } from "./client/database.ts";
import { type Lookup, LookupBatch } from "./client/lookup_batch.ts";
import type { RepoForIdentity, RepoPlace } from "./collaborators.ts";
import type { ObjectLocation } from "./refs.ts";
import { toRepo } from "./repos.ts";
import type { Row } from "./schema/tables.ts";
import type { HomeColumns } from "./shards/catalog.ts";
import { type LiveToken, toLiveToken } from "./tokens.ts";

/** What a request names. */
export type AskedPlace = RepoPlace & {
  /** A well-formed object id. */
  readonly objectId?: string;
};

/** What is there. Whether the token may see it is not decided here. */
export interface FoundPlace {
  readonly repo: RepoForIdentity | undefined;
  /** The object that was looked for; undefined if the repo lives in a shard. */
  readonly objectId: string | undefined;
  /** Undefined if no object was looked for, or the repo has no ref for it. */
  readonly location: ObjectLocation | undefined;
}

type Found =
  & Pick<Row<"mpackd_identities">, "identity_id" | "handle" | "is_admin">
  & { secret_hash: string; scope_list: string; is_collaborator: boolean }
  & { repo_id: string | null; owner: string; slug: string; name: string; visibility: string }
  & { repo_created_at: Date }
  & HomeColumns
  & { [Name in keyof ObjectLocation]: ObjectLocation[Name] | null };

/** How the place is named, without an object and with one. */
const WAYS = {
  byId: ["repo_id"],
  byIdWithObject: ["repo_id", "object_id"],
  byName: ["owner", "slug"],
  byNameWithObject: ["owner", "slug", "object_id"],
} as const;

type Way = keyof typeof WAYS;

function lookupOf(way: Way): Lookup {
  const isPlace = WAYS[way][0] === "repo_id"
    ? "r.repo_id = asked.repo_id"
    : "r.owner = asked.owner and r.slug = asked.slug";
  const hasObject = way === "byIdWithObject" || way === "byNameWithObject";
  const objectColumns = !hasObject ? "" : `,
      o.object_id as "objectId", m.mpack_key as "mpackKey", m.blob_key as "blobKey", m.etag,
      o.content_offset as "contentOffset", o.size_bytes as "sizeBytes",
      o.damaged_at as "damagedAt", o.encoding`;
  const objects = !hasObject ? "" : `
    left join musehub_object_refs o on o.object_id = asked.object_id and o.repo_id =
      case when r.shard is null and (r.visibility = 'public' or c.identity_id is not null
        or i.is_admin or i.handle = r.owner) then r.repo_id end
      and o.content_offset is not null and o.size_bytes is not null
    left join musehub_mpacks m on m.mpack_id = o.mpack_id and m.repo_id = o.repo_id`;
  const text = `
    select i.identity_id, i.handle, i.is_admin, t.secret_hash,
      array_to_string(t.scopes, ',') as scope_list,
      r.repo_id, r.owner, r.slug, r.name, r.visibility, r.created_at as repo_created_at,
      r.shard, (select s.version from mpackd_shards s where s.name = r.shard) as shard_version,
      c.identity_id is not null as is_collaborator ${objectColumns}
    from mpackd_tokens t
    join mpackd_identities i using (identity_id)
    left join musehub_repos r on ${isPlace} and r.deleted_at is null
    left join mpackd_collaborators c
      on c.repo_id = r.repo_id and c.identity_id = i.identity_id ${objects}
    where t.token_id = asked.token_id and t.secret_hash = asked.secret_hash
      and t.revoked_at is null and t.expires_at > now() and i.revoked_at is null`;
  return { action: "find a token", asked: ["token_id", "secret_hash", ...WAYS[way]], text };
}

/** Finds tokens, and the places that their requests name; those of one moment by one statement. */
export class TokenFinder {
  readonly #batches: Record<Way, LookupBatch<Found>>;

  constructor(db: Database) {
    const batch = (way: Way) => new LookupBatch<Found>(db, lookupOf(way));
    this.#batches = {
      byId: batch("byId"),
      byIdWithObject: batch("byIdWithObject"),
      byName: batch("byName"),
      byNameWithObject: batch("byNameWithObject"),
    };
  }

  /**
   * Finds a token as `findToken()` does, and the place with it.
   *
   * A wrong secret finds no row, so its answer takes the same time whether the repo exists. Nor is an
   * object looked for in a repo that the token's identity has no part in.
   */
  async findAt(
    { tokenId, secretHash }: { readonly tokenId: string; readonly secretHash: string },
    place: AskedPlace,
  ): Promise<(LiveToken & { readonly place: FoundPlace }) | undefined> {
    const { objectId } = place;
    const names = "repoId" in place ? [place.repoId] : [place.owner, place.slug];
    const way = "repoId" in place ? "byId" : "byName";
    const row = objectId === undefined
      ? await this.#batches[way].find([tokenId, secretHash, ...names])
      : await this.#batches[`${way}WithObject`].find([tokenId, secretHash, ...names, objectId]);
    return row && { ...toLiveToken(row), place: toPlace(row, objectId) };
  }
}

function toPlace(row: Found, objectId: string | undefined): FoundPlace {
  const { repo_id, is_collaborator: isCollaborator } = row;
  if (repo_id === null) return { repo: undefined, objectId, location: undefined };
  const repo = { ...toRepo({ ...row, repo_id, created_at: row.repo_created_at }), isCollaborator };
  if (repo.home !== undefined) return { repo, objectId: undefined, location: undefined };
  // Another program may have written a ref or an mpack without a location.
  const isLocated = row.objectId != null && row.blobKey !== null && row.etag !== null;
  return { repo, objectId, location: isLocated ? row as unknown as ObjectLocation : undefined };
}
