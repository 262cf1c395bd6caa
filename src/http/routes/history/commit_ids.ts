import { isObjectId } from "../../../lib/ids.ts";
import { slicesOf } from "../../../lib/sleep.ts";
import { HttpProblem } from "../../problem.ts";

/** What a client wants and has; of what it has, what cannot be an id is left out like unknown ids. */
export async function commitIds(
  { want, have: given }: { readonly want: readonly string[]; readonly have: readonly string[] },
): Promise<{ readonly want: readonly string[]; readonly have: readonly string[] }> {
  const have: string[] = [];
  for await (const slice of slicesOf(given)) have.push(...slice.filter(isObjectId));
  for await (const slice of slicesOf(want)) {
    const bad = slice.find((id) => !isObjectId(id));
    if (bad === undefined) continue;
    const detail = `Cannot find commit ${JSON.stringify(bad.slice(0, 100))} in this repo`;
    throw new HttpProblem(404, "history-not-found", detail);
  }
  return { want, have };
}
