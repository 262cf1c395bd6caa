/**
 * The shapes that clients send and get: requests are held to them, and the API's description is
 * made of them.
 *
 * @module
 */

import { z } from "zod";

/** An mpack key. */
export const MpackKey = z.string().regex(/^sha256:[0-9a-f]{64}$/, "not sha256:<64 hex digits>")
  .meta({ description: "`sha256:` and the lower-case hex SHA-256 of the pack's bytes" });

/** An object id. */
export const ObjectId = z.string().regex(
  /^(sha256:)?[0-9a-f]{64}$/,
  "not 64 hex digits, with sha256: before them or not",
).meta({ description: "`sha256:` and 64 hex digits, or the digits alone, as it was pushed" });

/** The path of a repo by name. */
export const RepoPath = z.object({ owner: z.string(), slug: z.string() });
/** The path of a repo by id. */
export const RepoIdPath = z.object({ repoId: z.string() });
/** The path of a job. */
export const JobPath = z.object({ jobId: z.string() });
/** The path of an object. */
export const ObjectPath = RepoPath.extend({ objectId: ObjectId });
/** No query. */
export const NoQuery = z.object({});
/** No names in the path. */
export const NoParams = z.object({});

/** Text of one line; the database takes no NUL. */
const line = (maxCharacters: number) =>
  z.string().max(maxCharacters).refine((text) => !/\p{Cc}/u.test(text), "has control characters");
const Time = z.string().meta({ format: "date-time" });
const Count = z.int().min(0);

/** A repo to be made. */
export const NewRepoBody = z.object({
  owner: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "no handle"),
  name: line(100).min(1),
  visibility: z.enum(["public", "private"]).default("private"),
  initialize: z.boolean().optional().meta({
    description: "Taken for clients that send it; a new repo is empty either way",
  }),
});

/** A repo. */
export const RepoAnswer = z.object({
  repoId: z.string(),
  owner: z.string(),
  slug: z.string(),
  name: z.string(),
  visibility: z.string(),
  createdAt: Time,
});

/** What is to be uploaded. */
export const PresignBody = z.object({ mpack_key: MpackKey, size_bytes: z.int().min(1) });

/** Where to upload it. */
export const PresignAnswer = z.object({
  already_indexed: z.boolean().meta({
    description: "Whether the repo has this pack; then there is nothing to upload",
  }),
  upload_url: z.string().optional().meta({ description: "PUT the pack's bytes here" }),
  headers: z.record(z.string(), z.string()).optional().meta({
    description: "Header fields that the PUT must carry exactly so",
  }),
  expires_at: Time.optional(),
});

/** What is to be indexed. */
export const UnpackBody = z.object({
  mpack_key: MpackKey,
  branch: line(1024).optional(),
  head: line(1024).optional(),
  force: z.boolean().optional(),
  declared_objects_count: Count.nullish(),
});

/** What an `mpack.index` job has done. */
export const IndexAnswer = z.object({
  job_id: z.string(),
  repo_id: z.string(),
  mpack_key: z.string(),
  size_bytes: Count,
  objects_total: Count,
  objects_written: Count,
  object_refs_written: Count,
  duplicate_objects: Count,
  commits: Count,
  snapshots: Count,
  tags: Count,
  batches: Count,
  resumed_from_byte: Count,
  hashed_bytes: Count,
  reread_bytes: Count.meta({ description: "Bytes read more than once, by all attempts" }),
  materialized: z.object({ written: Count, kept: Count, lying: Count }).optional().meta({
    description: "The objects as blobs of their own, where the server makes them: written now, " +
      "there already, and those whose content does not hash to their id",
  }),
  elapsed_ms: Count,
  phases_ms: z.object({ open: Count, stream: Count, publish: Count }),
});

/** A job that goes on without the client. */
export const AcceptedAnswer = z.object({ job_id: z.string(), status: z.string() });

/** Ids to look for. */
export const ObjectIdsBody = z.object({ object_ids: z.array(z.string().max(200)) });

/** Which of them the repo lacks. */
export const MissingAnswer = z.object({ missing: z.array(z.string()) });

const STATUSES = ["pending", "running", "done", "failed", "cancelled"] as const;

/** A job. */
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
    description: "What a done job has done; for `mpack.index` as the push routes say, in camelCase",
  }),
  lastError: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }).loose()
    .nullable().meta({ description: "Why the last attempt failed" }),
});

/** Which jobs to list. */
export const JobsQuery = z.object({
  status: z.enum(STATUSES).optional(),
  repoId: z.string().max(200).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z.string().max(300).optional().meta({
    description: "`next` of the page before",
  }),
});

/** A page of jobs, newest first. */
export const JobsAnswer = z.object({ jobs: z.array(JobAnswer), next: z.string().nullable() });

/** An error. */
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
}).loose();
