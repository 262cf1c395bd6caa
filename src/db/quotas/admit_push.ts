import type { QuotaState } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import { type Lookup, LookupBatch } from "../client/lookup_batch.ts";
import {
  defaultsText,
  givenDefaults,
  type QuotaDefaults,
  quotaError,
  type QuotaRefusal,
} from "./quota.ts";

/** A push of one pack, as far as it is known. */
export interface PushToAdmit {
  readonly repoId: string;
  /** The pack's key. A pack that the repo has already adds nothing. */
  readonly mpackKey?: string;
  readonly sizeBytes?: number;
  readonly objects?: number;
}

/** What a push may still bring. */
export interface Admission {
  /** Bytes that the repo and its owner may add; Infinity without a limit. */
  readonly leftBytes: number;
  /** The limit behind `leftBytes`; undefined without one. */
  readonly bytes?: QuotaState;
  /** Limits of which 80 % or more are used. */
  readonly warnings: readonly QuotaState[];
}

/**
 * Checks the quotas of a repo and its owner before anything of a push is stored. The publish checks
 * them once more, exactly.
 *
 * @param options.isPush Whether to count it as one of this hour's pushes.
 * @returns Undefined if neither has a quota, or the repo has the pack already.
 * @throws {QuotaError} If one would be exceeded.
 */
export async function admitPush(
  db: Database,
  { repoId, mpackKey, sizeBytes, objects }: PushToAdmit,
  { defaults, isPush }: { readonly defaults: QuotaDefaults; readonly isPush: boolean },
): Promise<Admission | undefined> {
  const [{ answer }] = await db.query<{ answer: AdmissionAnswer }>("check the quotas")`
    select mpackd_admit_push_1(${repoId}, ${mpackKey ?? null}::text, ${sizeBytes ?? null}::bigint,
      ${objects ?? null}::bigint, ${
    defaultsText(defaults)
  }::text::jsonb, ${isPush}::boolean) as answer`;
  return admissionOf(answer);
}

/** An upload of one pack, as its client announces it. */
export interface AnnouncedUpload {
  readonly repoId: string;
  /** The repo's owner. */
  readonly owner: string;
  readonly mpackKey: string;
  readonly sizeBytes: number;
}

interface BeforeUpload {
  readonly is_known: boolean;
  readonly has_quota: boolean;
}

/** Those of one moment by one statement; with no quota to check it is the only one. */
const uploadLookups = new WeakMap<Database, LookupBatch<BeforeUpload>>();

const BEFORE_UPLOAD: Lookup = {
  action: "look for the pack and its quotas",
  asked: ["repo_id", "owner", "mpack_key"],
  text: `
    select exists (select from musehub_mpacks m
        where m.repo_id = asked.repo_id and m.mpack_key = asked.mpack_key) as is_known,
      exists (select from mpackd_quotas q where q.kind = 'repo' and q.name = asked.repo_id)
        or exists (select from mpackd_quotas q where q.kind = 'owner' and q.name = asked.owner)
        as has_quota`,
};

/**
 * Tells whether a repo has a pack already, and if not, checks the quotas as {@link admitPush} does,
 * without counting a push.
 *
 * @throws {QuotaError} If one would be exceeded.
 */
export async function admitUpload(
  db: Database,
  { repoId, owner, mpackKey, sizeBytes }: AnnouncedUpload,
  defaults: QuotaDefaults,
): Promise<{ readonly isKnown: boolean; readonly admission?: Admission }> {
  let lookups = uploadLookups.get(db);
  if (lookups === undefined) uploadLookups.set(db, lookups = new LookupBatch(db, BEFORE_UPLOAD));
  const found = await lookups.find([repoId, owner, mpackKey]);
  if (found!.is_known) return { isKnown: true };
  const hasDefaults = Object.keys(givenDefaults(defaults)).length > 0;
  // This one may count what the tenant has, so nobody else waits for it.
  const admission = found!.has_quota || hasDefaults
    ? await admitPush(db, { repoId, sizeBytes }, { defaults, isPush: false })
    : undefined;
  return { isKnown: false, ...(admission && { admission }) };
}

/** What `mpackd_admit_push_1` answers. */
export type AdmissionAnswer = {
  readonly refused?: QuotaRefusal;
  readonly bytes: QuotaState | null;
  readonly warnings: readonly QuotaState[];
} | null;

/**
 * Reads the answer of SQL.
 *
 * @throws {QuotaError} If it is a refusal.
 */
export function admissionOf(answer: AdmissionAnswer): Admission | undefined {
  if (answer === null) return undefined;
  if (answer.refused !== undefined) throw quotaError(answer.refused);
  const { bytes, warnings } = answer;
  if (bytes === null) return { leftBytes: Infinity, warnings };
  return { leftBytes: bytes.limit - bytes.used, bytes, warnings };
}

/**
 * Refuses a push of which more has arrived than may be added.
 *
 * @throws {QuotaError} If so.
 */
export function requireLeft({ leftBytes, bytes }: Admission, sizeBytes: number): void {
  if (sizeBytes > leftBytes && bytes !== undefined) {
    throw quotaError({ ...bytes, asked: sizeBytes });
  }
}
