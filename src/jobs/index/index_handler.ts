import type { JobHandler } from "../attempt/handler.ts";
import type { IndexContext } from "./context.ts";
import { checkPayload } from "./payload.ts";
import type { IndexResult } from "./result.ts";
import { streamMpack } from "./stream_mpack.ts";

/** The handler of `mpack.index` jobs. */
export function indexHandler(context: IndexContext): JobHandler<IndexResult> {
  return (job, scope) => {
    const payload = { ...checkPayload(job.payload) };
    return streamMpack({ ...job, payload }, context, scope);
  };
}
