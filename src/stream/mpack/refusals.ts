/**
 * The errors of the decoder, in words.
 *
 * @module
 */

import { PackError } from "../../errors.ts";
import type { MpackLimits } from "./limits.ts";

/** A limit is broken. */
export function exceeded(
  limits: MpackLimits,
  name: keyof MpackLimits,
  found: number,
  offsetBytes: number,
): PackError {
  return new PackError(
    "limit-exceeded",
    `Cannot accept the pack: ${name} is ${limits[name]}, this would be ${found}`,
    { offsetBytes },
  );
}

/** A value is of the wrong type. */
export function unexpected(what: string, wanted: string, offsetBytes: number): PackError {
  const message = `Cannot accept the pack: ${what} is not ${wanted}`;
  return new PackError("unexpected-shape", message, { offsetBytes });
}

/** The byte 0xc1. */
export function neverUsed(offsetBytes: number): PackError {
  const message = "Cannot decode a value: 0xc1 is never used";
  return new PackError("malformed-msgpack", message, { offsetBytes });
}

/** A key is not UTF-8. */
export function badKey(offsetBytes: number, cause: unknown): PackError {
  const message = "Cannot decode a key: it is not UTF-8";
  return new PackError("malformed-msgpack", message, { offsetBytes, cause });
}

/** A map has the same key twice. */
export function duplicateKey(offsetBytes: number): PackError {
  const message = "Cannot accept a map: it has the same key twice";
  return new PackError("duplicate-key", message, { offsetBytes });
}

/** An id has the wrong form. */
export function badId(offsetBytes: number): PackError {
  return new PackError(
    "bad-object-id",
    'Cannot accept an object id: it is not a string of 64 lower-case hex digits, with or without "sha256:"',
    { offsetBytes },
  );
}

/** An object has no id. */
export function noId(offsetBytes: number): PackError {
  const message = "Cannot index an object: it has no object_id";
  return new PackError("bad-object-id", message, { offsetBytes });
}

/** A content is no bin. */
export function badContent(offsetBytes: number): PackError {
  const message = "Cannot index an object: its content is not binary";
  return new PackError("bad-content", message, { offsetBytes });
}

/** An object has no content. */
export function noContent(offsetBytes: number): PackError {
  const message = "Cannot index an object: it has no content";
  return new PackError("bad-content", message, { offsetBytes });
}

/** Bytes follow the document. */
export function trailing(offsetBytes: number): PackError {
  const message = "Cannot accept the pack: bytes follow its end";
  return new PackError("trailing-bytes", message, { offsetBytes });
}

/** The input ends inside the document. */
export function truncated(offsetBytes: number): PackError {
  const message = "Cannot read on: the pack ends inside its document";
  return new PackError("truncated", message, { offsetBytes });
}
