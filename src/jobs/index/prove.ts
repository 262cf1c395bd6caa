import { counted, grouped } from "../../lib/numbers.ts";
import { InvalidMpackError } from "../../errors.ts";
import { withPrefix } from "../../lib/ids.ts";
import type { OpenPack } from "./open_pack.ts";
import { UNKNOWN_KEY } from "./payload.ts";

/**
 * Checks that the bytes read are the pack that the key names.
 *
 * @param mpackKey {@link UNKNOWN_KEY} if the bytes may have any.
 * @returns The key of the bytes.
 * @throws {InvalidMpackError} `size-mismatch` or `digest-mismatch`.
 */
export async function provePack(
  { reader, decoder, hasher }: OpenPack,
  mpackKey: string,
): Promise<string> {
  const { sizeBytes } = reader.stat, found = decoder.offsetBytes;
  if (found !== sizeBytes) {
    throw new InvalidMpackError(
      "size-mismatch",
      `Cannot accept the pack: the store says ${sizeBytes} bytes, it sent ${found}`,
    );
  }
  const key = withPrefix(await hasher.digest());
  if (key !== mpackKey && mpackKey !== UNKNOWN_KEY) {
    throw new InvalidMpackError(
      "digest-mismatch",
      `Cannot accept the pack: its bytes have the key ${key}, not ${mpackKey}`,
    );
  }
  return key;
}

/** @throws {InvalidMpackError} `declared-count-mismatch`. */
export function proveCount({ decoder }: OpenPack, declared: number | null | undefined): void {
  const { objects } = decoder.counts;
  if (declared === undefined || declared === null || declared === objects) return;
  throw new InvalidMpackError(
    "declared-count-mismatch",
    `Cannot accept the pack: ${counted(declared, "object was", "objects were")} declared, it has ${
      grouped(objects)
    }`,
  );
}
