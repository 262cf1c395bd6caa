import { indexMpack } from "../../../src/jobs/index/index_mpack.ts";
import type { IndexPayload } from "../../../src/jobs/index/payload.ts";
import type { IndexResult } from "../../../src/jobs/index/result.ts";
import type { TestFixture } from "../process/fixture.ts";
import type { MadePack } from "./make_history.ts";

/** Stores a pack, and indexes it with its history. */
export async function indexHistory(
  fixture: TestFixture,
  pack: Pick<MadePack, "bytes">,
  payload: Omit<IndexPayload, "mpack_key"> = {},
): Promise<IndexResult> {
  const key = await fixture.put(pack.bytes);
  return await indexMpack({ ...fixture.options(key), payload });
}
