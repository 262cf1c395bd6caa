/**
 * Checks of this machine: the runtime, its permissions, and the free disk.
 *
 * @module
 */

import { statfs } from "node:fs/promises";
import { counted, grouped } from "../../lib/numbers.ts";
import { type Check, failure, ok, warning } from "./check.ts";

/** The release that the tests run on. */
const TESTED_DENO = "2.9";
const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** Looks at the runtime. */
export function* checkRuntime(): Generator<Check, void, undefined> {
  const { deno } = Deno.version, cores = navigator.hardwareConcurrency;
  const found = `Deno ${deno}, ${counted(cores, "core")}`;
  const isTested = deno === TESTED_DENO || deno.startsWith(`${TESTED_DENO}.`);
  yield isTested
    ? ok("runtime", found)
    : warning("runtime", found, `the tests run on Deno ${TESTED_DENO}`);
  const names = ["run", "read", "write", "net", "env", "sys", "ffi"] as const;
  const broad = names.filter((name) => Deno.permissions.querySync({ name }).state === "granted");
  const what = broad.length === 0 ? "only what is named" : `unrestricted: ${broad.join(", ")}`;
  yield broad.includes("ffi") && broad.length < names.length
    ? warning("permissions", what, "--allow-ffi voids the sandbox; only MPACK_HASH=native uses it")
    : ok("permissions", what);
}

/** Looks at the free room of the disk that a folder is on; nothing if it cannot be asked. */
export async function* checkDisk(
  name: string,
  folder: string,
): AsyncGenerator<Check, void, undefined> {
  let free: number, whole: number;
  try {
    const { bavail, blocks, bsize } = await statfs(folder);
    [free, whole] = [bavail * bsize, blocks * bsize];
  } catch {
    return;
  }
  const found = `${grouped(Math.round(free / MIB))} MiB free of ` +
    `${grouped(Math.round(whole / MIB))} at ${folder}`;
  const next = "free or add disk space";
  if (free < 512 * MIB) yield failure(name, found, next);
  else if (free < 5 * GIB && free < whole / 10) yield warning(name, found, next);
  else yield ok(name, found);
}
