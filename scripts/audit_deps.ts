/**
 * Checks the dependencies: each version is pinned with a SHA-512, no package runs scripts when it is
 * installed, and none has a known vulnerability.
 *
 * Ends with 1 if one of this is not so, and with 3 if the rest is well but the registry does not tell
 * vulnerabilities. NPM_CONFIG_REGISTRY names another registry than npm's.
 *
 * @module
 */

import { findAdvisories } from "./audit/advisories.ts";
import {
  checkIntegrity,
  checkPins,
  checkScripts,
  type LockFile,
  packagesOf,
  type Project,
} from "./audit/lock_file.ts";

const UNKNOWN = 3;
/** Each lock file, and the project that it belongs to. */
const LOCKS: Record<string, string | undefined> = {
  "deno.lock": "deno.json",
  "bench/deno.lock": "bench/deno.json",
  "tests/attack/recheck.lock": undefined,
};

const read = async (path: string) =>
  JSON.parse(await Deno.readTextFile(new URL(`../${path}`, import.meta.url)));

let isWell = true;
function report(what: string, wrong: readonly string[], well: string): void {
  isWell &&= wrong.length === 0;
  console.log(`${what}: ${wrong.length === 0 ? well : "FAILED"}`);
  for (const text of wrong) console.log(`  ${text}`);
}

const locks: LockFile[] = [], pins: string[] = [], scripts: string[] = [];
for (const [path, projectPath] of Object.entries(LOCKS)) {
  const lock: LockFile = await read(path);
  const project: Project = projectPath === undefined ? {} : await read(projectPath);
  const named = (text: string) => `${path}: ${text}`;
  pins.push(...[...checkIntegrity(lock), ...checkPins(project, lock)].map(named));
  scripts.push(...checkScripts(project, lock).map(named));
  locks.push(lock);
}
const packages = packagesOf(locks), count = Object.values(packages).flat().length;
report("Lock files", pins, `${locks.length} pin ${count} packages, each with a SHA-512`);
report("Lifecycle scripts", scripts, "none runs");
const registry = Deno.env.get("NPM_CONFIG_REGISTRY") ?? "https://registry.npmjs.org/";
const advisories = await findAdvisories(registry, packages);
if ("found" in advisories) {
  report("Known vulnerabilities", advisories.found, `none in ${count} packages`);
} else {
  console.log(`Known vulnerabilities: NOT CHECKED: ${advisories.unknown}`);
}
if (!isWell) Deno.exit(1);
if ("unknown" in advisories) Deno.exit(UNKNOWN);
