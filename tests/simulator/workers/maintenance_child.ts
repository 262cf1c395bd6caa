/**
 * Runs `gc` or `audit` over and over in a process that a test can kill.
 *
 * Arguments: `gc` or `audit`, the database's URL, the store's folder. Says `ready` before it begins.
 *
 * @module
 */

import { limitsOf, loadConfig } from "../../../src/config/config.ts";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { audit } from "../../../src/maintenance/audit/audit.ts";
import { collectGarbage } from "../../../src/maintenance/gc/gc.ts";

if (import.meta.main) {
  const [what, databaseUrl, folder] = Deno.args;
  const parts = {
    db: connectDatabase(databaseUrl, { maxConnections: 2 }),
    store: openFileStore(folder),
    config: loadConfig({}),
    signal: new AbortController().signal,
  };
  console.log("ready");
  for (;;) {
    // Nothing is too young for this gc.
    if (what === "gc") await collectGarbage({ ...parts, graceMs: -1_000 });
    else {
      await audit({
        ...parts,
        auditId: "killed",
        limits: limitsOf(parts.config),
        onFinding: () => {},
      });
      break;
    }
  }
  await parts.db.close();
}
