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

export interface CoreOptions {
  /** A midstate to go on from. */
  readonly state?: Uint8Array;
  /** Path of libcrypto, to make the native engine resumable. */
  readonly libcrypto?: string;
}

const checked = new Set<HashEngine>();

/**
 * Opens an engine. One that can be resumed must give the known answers once per thread before it is
 * used.
 *
 * @throws {RangeError} If `state` is not a midstate, or the engine cannot load one.
 */
export async function openCore(
  engine: HashEngine,
  { state, libcrypto }: CoreOptions = {},
): Promise<Core> {
  if (engine === "native" && libcrypto === undefined) {
    if (state === undefined) return openNativeCore();
    throw new RangeError("Cannot resume a hash: the native engine loads no state");
  }
  const core = await openResumable(engine, libcrypto);
  if (!checked.has(engine)) checkKnownAnswers(core);
  checked.add(engine);
  if (state) core.load(state);
  return core;
}

/** Imports the engine here, because most commands need none. */
async function openResumable(
  engine: HashEngine,
  libcrypto: string | undefined,
): Promise<ResumableCore> {
  if (engine === "native") return (await import("./libcrypto.ts")).openLibcrypto(libcrypto!);
  if (engine === "simd") {
    const { openSimd } = await import("./simd.ts");
    try {
      return openSimd();
    } catch (error) {
      // Processors from before 2008 have no SIMD that WebAssembly could use.
      if (!(error instanceof WebAssembly.CompileError)) throw error;
    }
  }
  return await (await import("./hash_wasm.ts")).openHashWasm();
}
