/**
 * The SHA-256 engines behind one interface: hash-wasm, and the runtime's own.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Core } from "./core.ts";
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

let isChecked = false;

/**
 * Opens an engine. hash-wasm must give the known answers once per thread before it is used.
 *
 * @throws {RangeError} If `state` is not a midstate, or the engine cannot load one.
 */
export async function openCore(engine: "wasm" | "native", state?: Uint8Array): Promise<Core> {
  if (engine === "native") {
    if (state === undefined) return openNativeCore();
    throw new RangeError("Cannot resume a hash: the native engine loads no state");
  }
  // Loaded here, because most commands do not need it.
  const { openHashWasm } = await import("./hash_wasm.ts");
  const core = await openHashWasm();
  if (!isChecked) checkKnownAnswers(core);
  isChecked = true;
  if (state) core.load(state);
  return core;
}
