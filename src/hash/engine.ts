/**
 * The SHA-256 engines behind one interface: hash-wasm, our own WebAssembly with SIMD, and the
 * runtime's own.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Core, ResumableCore } from "./core.ts";
import type { HashEngine } from "./hasher.ts";
import { checkKnownAnswers } from "./known_answers.ts";

/** The runtime's own SHA-256; needs no loading. */
export function openNativeCore(): Core {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    save: () => undefined,
    digest: () => hash.digest("hex"),
  };
}

const checked = new Set<HashEngine>();

/**
 * Opens an engine. One that can be resumed must give the known answers once per thread before it is
 * used.
 *
 * @throws {RangeError} If `state` is not a midstate, or the engine cannot load one.
 */
export async function openCore(engine: HashEngine, state?: Uint8Array): Promise<Core> {
  if (engine === "native") {
    if (state === undefined) return openNativeCore();
    throw new RangeError("Cannot resume a hash: the native engine loads no state");
  }
  const core = await openResumable(engine);
  if (!checked.has(engine)) checkKnownAnswers(core);
  checked.add(engine);
  if (state) core.load(state);
  return core;
}

/** Imports the engine here, because most commands need none. */
async function openResumable(engine: "wasm" | "simd"): Promise<ResumableCore> {
  if (engine === "simd") return (await import("./simd.ts")).openSimd();
  return await (await import("./hash_wasm.ts")).openHashWasm();
}
