import { isObjectId } from "../../../lib/ids.ts";
import { HttpProblem } from "../../problem.ts";

/** What a client wants and has; of what it has, what cannot be an id is left out like unknown ids. */
export function commitIds(
  { want, have }: { readonly want: readonly string[]; readonly have: readonly string[] },
): { readonly want: readonly string[]; readonly have: readonly string[] } {
  const bad = want.find((id) => !isObjectId(id));
  if (bad === undefined) return { want, have: have.filter(isObjectId) };
  const detail = `Cannot find commit ${JSON.stringify(bad.slice(0, 100))} in this repo`;
  throw new HttpProblem(404, "history-not-found", detail);
}
