/**
 * The two SHA-256 cores behind one face: hash-wasm, and the runtime's own.
 *
 * @see {@link https://github.com/Daninet/hash-wasm | hash-wasm}
 * @module
 */

import { createHash } from "node:crypto";

/** A synchronous SHA-256. */
export interface Core {
  /** Hashes more bytes. */
  update(bytes: Uint8Array): void;
  /** The state so far; undefined where it cannot be had. */
  save(): Uint8Array | undefined;
  /** The digest in lower-case hex; nothing may follow. */
  digest(): string;
}

/** Opens the runtime's own SHA-256, which is there at once. */
export function openNativeCore(): Core {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    save: () => undefined,
    digest: () => hash.digest("hex"),
  };
}

/**
 * Opens the core named.
 *
 * @throws {RangeError} If `state` was saved by another build of hash-wasm.
 */
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
