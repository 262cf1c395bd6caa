import type { QuotaState } from "../../errors.ts";
import type { Database } from "../client/database.ts";
import { defaultsText, type QuotaDefaults, quotaError, type QuotaRefusal } from "./quota.ts";

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
