/**
 * The two SHA-256 engines behind one interface: hash-wasm, and the runtime's own.
 *
 * @see {@link https://github.com/Daninet/hash-wasm | hash-wasm}
 * @module
 */

import { createHash } from "node:crypto";

/** A synchronous SHA-256. */
export interface Core {
  update(bytes: Uint8Array): void;
  /** The state so far; undefined if the engine cannot save it. */
  save(): Uint8Array | undefined;
  /** The digest in lower-case hex. Ends the core. */
  digest(): string;
}

/** The runtime's own SHA-256; needs no loading. */
export function openNativeCore(): Core {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    save: () => undefined,
    digest: () => hash.digest("hex"),
  };
}

/** @throws {RangeError} If another version of hash-wasm saved `state`. */
export async function openCore(engine: "wasm" | "native", state?: Uint8Array): Promise<Core> {
  if (engine === "native") return openNativeCore();
  const { createSHA256 } = await import("hash-wasm");
  const hash = await createSHA256();
  if (state) {
    try {
      hash.load(state);
    } catch (cause) {
      throw new RangeError("Cannot resume a hash: the state is of another build", { cause });
    }
  }
  return {
    update: (bytes) => void hash.update(bytes),
    save: () => hash.save(),
    digest: () => hash.digest("hex"),
  };
}
