/**
 * The shapes of the requests and answers that carry history.
 *
 * @module
 */

import { z } from "zod";
import { IdList } from "../../schemas.ts";

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
