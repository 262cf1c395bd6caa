/**
 * The route that sets tags.
 *
 * @module
 */

import { counted, grouped } from "../../../lib/numbers.ts";
import { z } from "zod";
import { type NewTag, setTags } from "../../../db/history/tags.ts";
import { isObjectId } from "../../../lib/ids.ts";
import { slicesOf } from "../../../lib/sleep.ts";
import { misspeltMember } from "../../body/check_shape.ts";
import { HttpProblem } from "../../problem.ts";
import { replyMsgpack } from "../../reply.ts";
import { type Route, route } from "../../route.ts";
import { line, NoQuery, RepoPath } from "../../schemas.ts";
import { TagsAnswer, TagsBody } from "./schemas.ts";

/** Tags in one request; MuseHub keeps names of 500 characters at most. */
const MAX_TAGS = 10_000;
const WireTag = z.object({
  tag: line(500).min(1),
  commit_id: z.string().refine(isObjectId, "not a commit id"),
  created_at: z.string().max(100).nullish(),
});

const tags = route({
  method: "POST",
  path: "/{owner}/{slug}/tags",
  id: "pushTags",
  summary: "Set tags, new or moved, each to a commit that the repo has: all, or none.",
  access: "push",
  params: RepoPath,
  query: NoQuery,
  body: TagsBody,
  isForMuse: true,
  answers: { 200: { description: "The tags are set", schema: TagsAnswer } },
  async handle({ request, body, repo, caller, context: { pushDb, pushLimit } }) {
    const given = await checkedTags(body.tags);
    // A publish that sets the same tag makes this statement wait.
    using _place = await pushLimit.enter(caller.client, request.signal);
    const { stored, missing } = await setTags(pushDb, repo.repoId, given);
    if (missing === null) return replyMsgpack({ stored });
    throw new HttpProblem(
      422,
      "history-not-found",
      `Cannot set the tags: the repo has no commit ${missing}`,
    );
  },
});

export const tagsRoutes: readonly Route[] = [tags];

/** The tags by name, in slices; of a name that comes twice, the last. */
async function checkedTags(given: readonly unknown[]): Promise<NewTag[]> {
  if (given.length > MAX_TAGS) {
    const detail = `Cannot set ${counted(given.length, "tag")} at once: the limit is ${
      grouped(MAX_TAGS)
    }`;
    throw new HttpProblem(413, "too-large", detail);
  }
  const found = new Map<string, NewTag>();
  let at = 0;
  for await (const slice of slicesOf(given)) {
    for (const value of slice) {
      const misspelt = misspeltMember(WireTag, value, ["tags", String(at)]);
      if (misspelt !== undefined) {
        const detail = `Cannot use the body: ${misspelt.pointer}: ${misspelt.detail}`;
        throw new HttpProblem(422, "invalid-body", detail);
      }
      const { data, error } = WireTag.safeParse(value);
      if (data === undefined) {
        const [{ path, message }] = error.issues;
        const pointer = ["/tags", at, ...path.map(String)].join("/");
        throw new HttpProblem(422, "invalid-body", `Cannot use the body: ${pointer}: ${message}`);
      }
      const { tag, commit_id: commitId, created_at: text } = data;
      const createdAt = new Date(text ?? NaN);
      const isTime = createdAt.getTime() >= 0;
      found.set(tag, { tag, commitId, createdAt: isTime ? createdAt : null });
      at++;
    }
  }
  return [...found.values()];
}
