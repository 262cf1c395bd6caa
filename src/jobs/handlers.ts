/**
 * Which job types there are, and what does their work.
 *
 * @module
 */

import { Publisher } from "../db/publish/publisher.ts";
import type { Handler } from "./attempt/handler.ts";
import { auditHandler, MPACK_AUDIT } from "./audit_handler.ts";
import { indexHandler, type IndexParts, MPACK_INDEX } from "./index/index_handler.ts";

/** A handler for each job type. Jobs of other types are left alone. */
export type Handlers = Readonly<Record<string, Handler<object>>>;

/** The handlers of mpackd's own job types. */
export function mpackdHandlers(parts: IndexParts): Handlers {
  return {
    [MPACK_INDEX]: indexHandler({ publisher: new Publisher(parts.db), ...parts }),
    [MPACK_AUDIT]: auditHandler(parts),
  };
}
