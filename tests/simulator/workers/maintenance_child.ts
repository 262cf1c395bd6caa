/**
 * Runs `gc` or `audit` over and over, or `gc` and `repack` by turns, in a process that a test can kill.
 *
 * Arguments: `gc`, `audit` or `repack`, the database's URL, the store's folder. Says `ready` before it begins.
 *
 * @module
 */

import { limitsOf, loadConfig } from "../../../src/config/config.ts";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { openFileStore } from "../../../src/stream/store/folder/folder_store.ts";
import { audit } from "../../../src/maintenance/audit/audit.ts";
import { collectGarbage } from "../../../src/maintenance/gc/gc.ts";
import { repack } from "../../../src/maintenance/repack/repack.ts";

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
    if (what !== "audit") await collectGarbage({ ...parts, graceMs: -1_000 });
    if (what === "repack") {
      for (const { repo_id } of await parts.db.sql`select repo_id from musehub_repos`) {
        const limits = limitsOf(parts.config), { maxContentBytes } = limits;
        const options = { ...parts, limits, maxContentBytes, repoId: repo_id };
        await repack({ ...options, packBytes: 1024 ** 3 });
      }
    } else if (what === "audit") {
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
