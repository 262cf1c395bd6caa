import { Publisher } from "../db/publish/publisher.ts";
import type { JobHandler } from "./attempt/handler.ts";
import { auditHandler, MPACK_AUDIT } from "./audit_handler.ts";
import type { IndexContext } from "./index/context.ts";
import { indexHandler } from "./index/index_handler.ts";
import { MPACK_INDEX } from "./index/payload.ts";
import { type MaintenanceContext, maintenanceHandlers } from "./schedules/maintenance_handlers.ts";

/** A handler for each job type. A worker does not claim jobs of other types. */
export type JobHandlers = Readonly<Record<string, JobHandler<object>>>;

/** The handlers of mpackd's own job types. */
export function mpackdHandlers(context: IndexContext & MaintenanceContext): JobHandlers {
  return {
    [MPACK_INDEX]: indexHandler({ publisher: new Publisher(context.db), ...context }),
    [MPACK_AUDIT]: auditHandler(context),
    ...maintenanceHandlers(context),
  };
}
