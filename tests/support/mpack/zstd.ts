/**
 * Contents in zstd, good and bad.
 *
 * @module
 */

import { constants, zstdCompressSync } from "node:zlib";
import { concat, map, mpackKey, type Raw } from "./mpacks.ts";

/** How to compress. */
export interface ZstdOptions {
  /** The log2 of the window; by default as the level wants. */
  readonly windowLog?: number;
  /** Whether the frame ends with a checksum. */
  readonly checksum?: boolean;
}

/** The bytes as frames of zstd. Deno appends an empty frame, so there are always two. */
export function zstd(bytes: Uint8Array, { windowLog, checksum }: ZstdOptions = {}): Uint8Array {
  const params: Record<number, number> = {};
  if (windowLog !== undefined) params[constants.ZSTD_c_windowLog] = windowLog;
  if (checksum) params[constants.ZSTD_c_checksumFlag] = 1;
  return new Uint8Array(zstdCompressSync(bytes, { params }));
}

/**
 * A frame that is written by hand: its header declares what is given, its blocks are runs of one byte.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1 | RFC 8878, section 3.1.1}
 */
export function runFrame(
  { blocks, declaredBytes, dictionaryId }: {
    /** How long each run is. */
    readonly blocks: readonly number[];
    readonly declaredBytes?: number;
    readonly dictionaryId?: number;
  },
): Uint8Array {
  const descriptor = (declaredBytes === undefined ? 0 : 2 << 6) |
    (dictionaryId === undefined ? 0 : 1);
  const bytes = [0x28, 0xb5, 0x2f, 0xfd, descriptor, (21 - 10) << 3];
  if (dictionaryId !== undefined) bytes.push(dictionaryId);
  if (declaredBytes !== undefined) {
    for (let i = 0; i < 4; i++) bytes.push(declaredBytes / 2 ** (8 * i) & 0xff);
  }
  for (const [i, length] of blocks.entries()) {
    const header = length << 3 | 1 << 1 | (i === blocks.length - 1 ? 1 : 0);
    bytes.push(header & 0xff, header >>> 8 & 0xff, header >>> 16 & 0xff, 0x61);
  }
  return Uint8Array.from(bytes);
}

/** A frame that stands for no bytes. */
export function skippableFrame(sizeBytes: number): Uint8Array {
  const head = Uint8Array.of(0x53, 0x2a, 0x4d, 0x18, sizeBytes, 0, 0, 0);
  return concat([head, new Uint8Array(sizeBytes)]);
}

/** An object of a pack whose content is in zstd. */
export function encodedObject(
  { plain, stored = zstd(plain), objectId = mpackKey(plain), isEncodingLast = false }: {
    readonly plain: Uint8Array;
    readonly stored?: Uint8Array;
    readonly objectId?: string;
    readonly isEncodingLast?: boolean;
  },
): Raw {
  const encoding = ["encoding", "zstd"] as const, content = ["content", stored] as const;
  return map([
    ["object_id", objectId],
    ...isEncodingLast ? [content, encoding] : [encoding, content],
  ]);
}
