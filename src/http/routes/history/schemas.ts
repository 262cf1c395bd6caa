/**
 * The shapes of the requests and answers that carry history.
 *
 * @module
 */

import { z } from "zod";
import { IdList, RepoPath } from "../../schemas.ts";

const Count = z.int().min(0);
const Heads = z.record(z.string(), z.string()).meta({
  description: "Commit ids by the name of the branch",
});

export const RefsAnswer = z.object({
  repo_id: z.string(),
  domain: z.string(),
  default_branch: z.string(),
  branch_heads: Heads,
});

export const ObjectPresignBody = z.object({
  object_ids: IdList,
  direction: z.string().optional(),
  ttl_seconds: z.number().optional(),
});

export const ObjectPresignAnswer = z.object({
  presigned: z.record(z.string(), z.string()),
  inline: z.array(z.string()).meta({ description: "Ids to send with push/objects" }),
});

export const PushObjectsAnswer = z.object({
  stored: Count.meta({ description: "Objects that are new to the repo" }),
  skipped: Count,
});

export const PushAnswer = z.object({
  ok: z.literal(true),
  message: z.string(),
  branch_heads: Heads,
  remote_head: z.string().meta({ description: "The head of the branch that was pushed" }),
});

export const NegotiateBody = z.object({ want: IdList.default([]), have: IdList.default([]) });

export const NegotiateAnswer = z.object({
  ack: z.array(z.string()).meta({ description: "Those of `have` that the repo has" }),
  common_base: z.string().nullable(),
  ready: z.boolean().meta({ description: "Whether `ack` is enough for a fetch" }),
});

export const TagsBody = z.object({
  tags: z.custom<readonly unknown[]>(Array.isArray, "not an array").meta({
    type: "array",
    items: {
      type: "object",
      properties: {
        tag: { type: "string" },
        commit_id: { type: "string" },
        created_at: { type: ["string", "null"] },
      },
      required: ["tag", "commit_id"],
    },
  }),
});

export const TagsAnswer = z.object({ stored: Count });

export const FetchBody = z.object({
  want: IdList.default([]),
  have: IdList.default([]),
  max_bytes: z.int().min(1).optional().meta({
    description: "The longest answer that the client takes. Default 64 MiB",
  }),
});

const Page = { limit: z.coerce.number().int().min(1).max(1_000).default(100) };

export const CommitPath = RepoPath.extend({ commit: z.string() });
export const TreePath = CommitPath.extend({ path: z.string() });

export const TreeQuery = z.object({
  after: z.string().max(4_096).optional().meta({ description: "`next` of the previous page" }),
  ...Page,
});

export const TreeAnswer = z.object({
  commit_id: z.string(),
  snapshot_id: z.string(),
  path: z.string(),
  entries: z.array(z.object({
    name: z.string(),
    type: z.enum(["folder", "file"]),
    object_id: z.string().optional(),
  })),
  next: z.string().nullable(),
});

export const CommitsQuery = z.object({
  branch: z.string().max(1_024).optional().meta({
    description: "A branch, a tag or a commit. Default: the default branch",
  }),
  before: z.string().max(40_000).optional().meta({ description: "`next` of the previous page" }),
  ...Page,
});

export const CommitsAnswer = z.object({
  commits: z.array(z.object({
    commit_id: z.string(),
    parent_ids: z.array(z.string()),
    snapshot_id: z.string(),
    author: z.string(),
    committed_at: z.string(),
    message: z.string().meta({ description: "Its first 65,536 characters" }),
  })),
  next: z.string().nullable(),
});

export const CommitAnswer = z.object({
  commit_id: z.string(),
  parent_ids: z.array(z.string()),
  snapshot_id: z.string(),
  author: z.string(),
  committed_at: z.string().meta({ description: "As its client wrote it" }),
  message: z.string(),
  metadata: z.record(z.string(), z.string()),
  reviewed_by: z.array(z.string()),
  test_runs: Count,
  others: z.record(z.string(), z.string()).meta({
    description: "The other texts of the record that are not empty",
  }),
});
