/**
 * A process that dies: from one statement on, nothing that it does reaches a server.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import type { MoveToOptions } from "../../../src/maintenance/shards/move_options.ts";

/** What the process ends with. */
export class KilledError extends Error {}

/** Decides by a statement's action whether it is the last one: it takes effect, and nothing else. */
export type IsLast = (action: string) => boolean;

/** The same options for a process that dies. */
export function mortal<Options extends Pick<MoveToOptions, "catalog" | "connect">>(
  options: Options,
  isLast: IsLast,
): Options {
  let isDead = false;
  const wrap = (db: Database): Database => ({
    ...db,
    async intercept(query, action) {
      if (isDead) throw new KilledError(action);
      const result = await query;
      if (isDead || isLast(action)) {
        isDead = true;
        throw new KilledError(action);
      }
      return result;
    },
  });
  return {
    ...options,
    catalog: wrap(options.catalog),
    connect: (url) => wrap(connectDatabase(url, { maxConnections: 4 })),
  };
}

/**
 * Lets a process die after the first statement of a kind that none has died after; statements about
 * one table each are of one kind.
 */
export function afterNewKind(seen: Set<string>): IsLast {
  return (action) => {
    const kind = action.replace(/(musehub|mpackd?)_\w+/, "TABLE").replace(/\d{4}_\w+/, "N");
    if (seen.has(kind)) return false;
    seen.add(kind);
    return true;
  };
}
