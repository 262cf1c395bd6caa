/**
 * The errors of the decoder.
 *
 * @module
 */

import { InvalidMpackError } from "../../errors.ts";
import type { MpackLimits } from "./limits.ts";

export function exceeded(
  limits: MpackLimits,
  name: keyof MpackLimits,
  found: number,
  offsetBytes: number,
): InvalidMpackError {
  return new InvalidMpackError(
    "limit-exceeded",
    `Cannot accept the pack: ${name} is ${limits[name]}, this would be ${found}`,
    { offsetBytes },
  );
}

export function unexpected(what: string, wanted: string, offsetBytes: number): InvalidMpackError {
  const message = `Cannot accept the pack: ${what} is not ${wanted}`;
  return new InvalidMpackError("unexpected-shape", message, { offsetBytes });
}

/** The byte 0xc1. */
export function neverUsed(offsetBytes: number): InvalidMpackError {
  const message = "Cannot decode a value: 0xc1 is never used";
  return new InvalidMpackError("malformed-msgpack", message, { offsetBytes });
}

export function badKey(offsetBytes: number, cause: unknown): InvalidMpackError {
  const message = "Cannot decode a key: it is not UTF-8";
  return new InvalidMpackError("malformed-msgpack", message, { offsetBytes, cause });
}

export function duplicateKey(offsetBytes: number): InvalidMpackError {
  const message = "Cannot accept a map: it has the same key twice";
  return new InvalidMpackError("duplicate-key", message, { offsetBytes });
}

export function badId(offsetBytes: number): InvalidMpackError {
  return new InvalidMpackError(
    "bad-object-id",
    'Cannot accept an object id: it is not a string of 64 lower-case hex digits, with or without "sha256:"',
    { offsetBytes },
  );
}

export function noId(offsetBytes: number): InvalidMpackError {
  const message = "Cannot index an object: it has no object_id";
  return new InvalidMpackError("bad-object-id", message, { offsetBytes });
}

export function badContent(offsetBytes: number): InvalidMpackError {
  const message = "Cannot index an object: its content is not binary";
  return new InvalidMpackError("bad-content", message, { offsetBytes });
}

export function noContent(offsetBytes: number): InvalidMpackError {
  const message = "Cannot index an object: it has no content";
  return new InvalidMpackError("bad-content", message, { offsetBytes });
}

export function encoded(name: string, offsetBytes: number): InvalidMpackError {
  const message =
    `Cannot index an object: its encoding is ${name}, only "zstd" and plain contents are supported`;
  return new InvalidMpackError("unsupported-encoding", message, { offsetBytes });
}

/** A text of a record. */
export function badText(why: string, offsetBytes: number, cause?: unknown): InvalidMpackError {
  const message = `Cannot accept a text of a record: ${why}`;
  return new InvalidMpackError("bad-text", message, { offsetBytes, cause });
}

export function badPath(offsetBytes: number): InvalidMpackError {
  return new InvalidMpackError(
    "bad-path",
    'Cannot accept a path: it is absolute, or a part of it is empty, "." or ".."',
    { offsetBytes },
  );
}

export function badRecordId(offsetBytes: number): InvalidMpackError {
  return new InvalidMpackError(
    "bad-record-id",
    'Cannot accept the id of a record: it is not a string of 64 lower-case hex digits, with or without "sha256:"',
    { offsetBytes },
  );
}

export function noRecordId(name: string, offsetBytes: number): InvalidMpackError {
  const message = `Cannot accept a record: it has no ${name}`;
  return new InvalidMpackError("bad-record-id", message, { offsetBytes });
}

export function falseId(what: string, id: string, offsetBytes: number): InvalidMpackError {
  const message = `Cannot accept a ${what}: its content does not hash to its id ${id}`;
  return new InvalidMpackError("false-id", message, { offsetBytes });
}

export function trailing(offsetBytes: number): InvalidMpackError {
  const message = "Cannot accept the pack: bytes follow its end";
  return new InvalidMpackError("trailing-bytes", message, { offsetBytes });
}

export function truncated(offsetBytes: number): InvalidMpackError {
  const message = "Cannot read on: the pack ends inside its document";
  return new InvalidMpackError("truncated", message, { offsetBytes });
}
