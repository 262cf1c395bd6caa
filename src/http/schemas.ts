/**
 * The shapes of requests and answers. They check requests, and the API's description is made of
 * them.
 *
 * @module
 */

import { z } from "zod";
import { MPACK_KEY, OBJECT_ID } from "../lib/ids.ts";

export const MpackKey = z.string().regex(MPACK_KEY, "not sha256:<64 hex digits>")
  .meta({ description: "`sha256:` and the lower-case hex SHA-256 of the pack's bytes" });

const ObjectId = z.string().regex(
  OBJECT_ID,
  "not 64 hex digits, with or without sha256: before them",
).meta({ description: "`sha256:` and 64 hex digits, or the digits alone, whichever was pushed" });

export const RepoPath = z.object({ owner: z.string(), slug: z.string() });
export const RepoIdPath = z.object({ repoId: z.string() });
export const JobPath = z.object({ jobId: z.string() });
export const ObjectPath = RepoPath.extend({ objectId: ObjectId });
export const OwnerPath = z.object({
  owner: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "is not the name of an owner"),
});
export const NoQuery = z.object({});
export const NoParams = z.object({});

/** Text of one line. PostgreSQL refuses NUL. */
export const line = (maxCharacters: number) =>
  z.string().max(maxCharacters)
    .refine((text) => !/\p{Cc}/u.test(text) && text.isWellFormed(), "has control characters");
/** Ids; `idLists` of the route has checked that they are strings of this length. */
export const IdList = z.custom<readonly string[]>(Array.isArray, "not an array")
  .meta({ type: "array", items: { type: "string", maxLength: 200 } });

const Time = z.string().meta({ format: "date-time" });
const Count = z.int().min(0);

export const NewRepoBody = z.strictObject({
  owner: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "not a handle"),
  name: line(100).min(1),
  visibility: z.enum(["public", "private"]).default("private"),
  initialize: z.boolean().optional().meta({
    description: "Ignored: a new repo is always empty",
  }),
});

export const EditRepoBody = z.strictObject({
  name: line(100).min(1).optional(),
  visibility: z.enum(["public", "private"]).optional(),
});

export const RepoAnswer = z.object({
  repoId: z.string(),
  owner: z.string(),
  slug: z.string(),
  name: z.string(),
  visibility: z.string(),
  createdAt: Time,
});

export const PacksQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: MpackKey.optional().meta({ description: "`next` of the previous page" }),
});

/** A page of packs, newest first. */
export const PacksAnswer = z.object({
  packs: z.array(z.object({
    mpack_key: z.string(),
    size_bytes: Count,
    objects: Count,
    commits: Count,
    snapshots: Count,
    tags: Count,
    indexed_at: Time.nullable(),
  })),
  next: z.string().nullable(),
});

const MIB = 1024 * 1024;
/** S3's limits. See {@link https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html}. */
const PART_BYTES = { min: 5 * MIB, max: 5 * 1024 * MIB };

export const PresignBody = z.object({
  mpack_key: MpackKey,
  size_bytes: z.int().min(1),
  bind: z.boolean().default(false).meta({
    description: "Whether the store itself shall refuse other bytes: the PUT then needs `headers`",
  }),
  part_bytes: z.int().min(PART_BYTES.min).max(PART_BYTES.max).optional().meta({
    description: "Upload in parts of this length, so that an upload that broke off can go on. A " +
      "pack with more than 10,000 of them gets longer ones. An upload that has begun keeps its own",
  }),
});

export const PartsAnswer = z.object({
  part_bytes: Count.meta({ description: "Length of every part but the last" }),
  count: Count.meta({ description: "How many parts the pack has" }),
  missing_count: Count.meta({ description: "How many of them are not in the store yet" }),
  missing: z.array(z.object({
    number: Count,
    offset_bytes: Count,
    size_bytes: Count,
    upload_url: z.string(),
  })).meta({
    description: "The first 100 of these: PUT `size_bytes` bytes of the pack from `offset_bytes` " +
      "to `upload_url`, then ask again. When none is missing, use mpack-complete",
  }),
});

export const PresignAnswer = z.object({
  already_indexed: z.boolean().meta({
    description: "True if the repo has this pack already; then upload nothing",
  }),
  upload_url: z.string().optional().meta({ description: "PUT the pack's bytes here" }),
  headers: z.record(z.string(), z.string()).optional().meta({
    description: "Header fields that the PUT must send unchanged",
  }),
  expires_at: Time.optional(),
  parts: PartsAnswer.optional().meta({
    description:
      "In place of `upload_url`, if `part_bytes` was given or the pack is too long for " +
      "one PUT",
  }),
});

export const CompleteBody = z.object({ mpack_key: MpackKey });

export const CompleteAnswer = z.object({ mpack_key: z.string() });

export const UnpackBody = z.object({
  mpack_key: MpackKey,
  branch: line(1024).optional(),
  head: line(1024).optional(),
  force: z.boolean().optional(),
  declared_objects_count: Count.nullish(),
});

export const PushQuery = z.object({
  branch: line(1024).optional().meta({
    description: "The branch to move to the pack's last commit; if it may not move, all is refused",
  }),
  head: line(1024).optional().meta({ description: "The commit; then it must be the pack's last" }),
  force: z.enum(["true", "false"]).optional().meta({
    description: "Whether the branch may lose commits",
  }),
});

const BranchAnswer = z.object({
  name: z.string(),
  head: z.string().nullable().meta({
    description: "The commit it points to now; null: it is not there",
  }),
  moved: z.boolean(),
  reason: z.string().optional().meta({ description: "The code of the rule that kept it in place" }),
  message: z.string().optional(),
});

/** A limit of a tenant, and how much of it is used. */
const QuotaAnswer = z.object({
  of: z.enum(["owner", "repo"]).meta({
    description: "Whose limit: the repo's, or its owner's for all of their repos together",
  }),
  what: z.enum(["bytes", "objects", "packs", "pushes"]).meta({
    description: "What is limited; pushes are those of an hour",
  }),
  used: Count,
  limit: Count,
});

export const IndexAnswer = z.object({
  job_id: z.string(),
  repo_id: z.string(),
  mpack_key: z.string(),
  size_bytes: Count,
  objects_total: Count,
  objects_written: Count,
  object_refs_written: Count,
  duplicate_objects: Count,
  commits_written: Count.default(0),
  snapshots_written: Count.default(0),
  tags_written: Count.default(0),
  records_unverified: Count.optional(),
  warnings: z.array(z.string()).optional().meta({
    description: "no-manifest: the pack has objects and no snapshot, so no path leads to them",
  }),
  branch: BranchAnswer.optional(),
  quota_warnings: z.array(QuotaAnswer).optional().meta({
    description: "Limits of which 80 % or more are used",
  }),
  commits: Count,
  snapshots: Count,
  tags: Count,
  batches: Count,
  resumed_from_byte: Count,
  hashed_bytes: Count,
  hash_engine: z.string().optional().meta({
    description: "The SHA-256 engine; results of older versions lack it",
  }),
  reread_bytes: Count.meta({ description: "Bytes read more than once, by all attempts" }),
  materialized: z.object({ written: Count, existing: Count, mismatched: Count }).optional().meta({
    description: "Objects as their own blobs, if the server does that: written now, existing " +
      "before, and mismatched (left out, because the content does not hash to the id)",
  }),
  elapsed_ms: Count,
  phases_ms: z.object({ open: Count, stream: Count, publish: Count }),
});

export const AcceptedAnswer = z.object({ job_id: z.string(), status: z.string() });

export const ObjectIdsBody = z.object({ object_ids: IdList });

export const MissingAnswer = z.object({ missing: z.array(z.string()) });

const STATUSES = ["pending", "running", "done", "failed", "cancelled"] as const;

export const JobAnswer = z.object({
  jobId: z.string(),
  repoId: z.string(),
  jobType: z.string(),
  status: z.enum(STATUSES),
  payload: z.record(z.string(), z.unknown()),
  attempt: Count,
  maxAttempts: Count,
  priority: z.int(),
  createdAt: Time,
  runAt: Time.nullable(),
  startedAt: Time.nullable(),
  finishedAt: Time.nullable(),
  cancelRequested: z.boolean(),
  progress: z.record(z.string(), z.unknown()).nullable(),
  result: z.record(z.string(), z.unknown()).nullable().meta({
    description:
      "The result of a job that is done; for `mpack.index` as the push routes answer, in camelCase",
  }),
  lastError: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }).loose()
    .nullable().meta({ description: "Why the last attempt failed" }),
});

/** One job, with why it does not run. */
export const OneJobAnswer = JobAnswer.extend({
  waitsFor: z.enum(["worker", "resume"]).nullable().optional().meta({
    description:
      "Why a job that is pending does not run: no `worker` is alive, or jobs are paused " +
      "until somebody lets them `resume`; null for any other reason",
  }),
});

export const JobsQuery = z.strictObject({
  status: z.enum(STATUSES).optional(),
  repoId: z.string().max(200).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z.string().max(300).optional().meta({
    description: "`next` of the previous page",
  }),
});

/** A page of jobs, newest first. */
const Unreachable = z.array(z.string()).optional()
  .meta({ description: "The shards that did not answer: what they have is missing" });

export const JobsAnswer = z.object({
  jobs: z.array(JobAnswer),
  next: z.string().nullable(),
  unreachable: Unreachable,
});

const Limit = z.union([z.int().min(0).max(1e15), z.literal("unlimited")]).optional();

/** Limits of a tenant to set. */
export const QuotaBody = z.strictObject({
  bytes: Limit.meta({ description: "Of all packs" }),
  objects: Limit.meta({ description: "In all packs, each as often as it was pushed" }),
  packs: Limit.meta({ description: "That are indexed" }),
  pushes: Limit.meta({ description: "An hour" }),
}).refine((limits) => Object.keys(limits).length > 0, "names no limit");

export const QuotasQuery = z.strictObject({
  minPercent: z.coerce.number().min(0).max(1000).default(0).meta({
    description: "Only those that use so much of a limit",
  }),
});

const PerLimit = <T extends z.ZodType>(value: T) =>
  z.object({ bytes: value, objects: value, packs: value, pushes: value });

/** A tenant with limits. */
export const TenantAnswer = z.object({
  of: z.enum(["owner", "repo"]),
  name: z.string().meta({ description: "The owner's handle, or OWNER/SLUG" }),
  percent: z.number().meta({ description: "How much of the fullest limit is used" }),
  limits: PerLimit(Count.nullable()).meta({ description: "null: unlimited" }),
  used: PerLimit(Count),
});

export const QuotasAnswer = z.object({ quotas: z.array(TenantAnswer), unreachable: Unreachable });

export const ProblemAnswer = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string(),
  code: z.string(),
  retryable: z.boolean(),
  offset_bytes: Count.optional(),
  missing: z.array(z.string()).optional(),
  missing_count: Count.optional(),
  quota: QuotaAnswer.optional().meta({ description: "With the code quota-exceeded" }),
}).loose();
