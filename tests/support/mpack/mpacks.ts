/**
 * Small packs built byte by byte, so that a test can decide every detail: the order of sections
 * and keys, keys twice, headers wider than need be, bytes that are no MessagePack at all.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { encode } from "@msgpack/msgpack";

/** Bytes that stand for themselves wherever a value may stand. */
export class Raw {
  /** Wraps bytes that are written as they are. */
  constructor(readonly bytes: Uint8Array) {}
}

/**
 * A value to write. Strings, bytes, arrays and objects get the smallest header; `Raw` is written
 * as it is; pairs in a `Map` may have any key; numbers, booleans, null and bigint as usual.
 */
export type Value =
  | Raw
  | Uint8Array
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly Value[]
  | ReadonlyMap<Value, Value>
  | { readonly [key: string]: Value };

/** Widths of a header's length field: 0 is the fix form, else 8, 16 or 32 bits. */
export type Width = 0 | 8 | 16 | 32;

/** Objects of a pack as tests name them. */
export interface ObjectPart {
  /** The content. */
  readonly content: Uint8Array;
  /** The id; by default the right one, prefixed. */
  readonly objectId?: string;
}

type Family = "str" | "bin" | "array" | "map";

/** First bytes of each family's headers by width. */
const FIRST: Record<Family, Partial<Record<Width, number>>> = {
  str: { 0: 0xa0, 8: 0xd9, 16: 0xda, 32: 0xdb },
  bin: { 8: 0xc4, 16: 0xc5, 32: 0xc6 },
  array: { 0: 0x90, 16: 0xdc, 32: 0xdd },
  map: { 0: 0x80, 16: 0xde, 32: 0xdf },
};
const UTF8 = new TextEncoder();

/** A header alone, of any width and any declared length; for wrong counts and for wide forms. */
export function header(family: Family, length: number, width?: Width): Raw {
  const fixMax = family === "str" ? 31 : 15;
  const smallest = ([0, 8, 16, 32] as const).find((bits) =>
    FIRST[family][bits] !== undefined && length <= (bits === 0 ? fixMax : 2 ** bits - 1)
  );
  const bits = width ?? smallest ?? 32;
  const first = FIRST[family][bits];
  if (first === undefined) throw new RangeError(`Cannot write a ${family} of width ${bits}`);
  if (bits === 0) return new Raw(Uint8Array.of(first | length));
  const bytes = new Uint8Array(1 + bits / 8);
  bytes[0] = first;
  for (let i = 1; i < bytes.length; i++) bytes[i] = length >>> (bits - 8 * i);
  return new Raw(bytes);
}

/** Joins bytes, given as numbers, and what was built already; the result need be no value at all. */
export function raw(...parts: (Raw | readonly number[])[]): Raw {
  return new Raw(
    concat(parts.map((part) => part instanceof Raw ? part.bytes : Uint8Array.from(part))),
  );
}

/** A string under a header of the given width. */
export function str(text: string, width?: Width): Raw {
  const bytes = UTF8.encode(text);
  return new Raw(concat([header("str", bytes.length, width).bytes, bytes]));
}

/** Bytes under a bin header of the given width. */
export function bin(bytes: Uint8Array, width?: Width): Raw {
  return new Raw(concat([header("bin", bytes.length, width).bytes, bytes]));
}

/** An array under a header of the given width. */
export function array(items: readonly Value[], width?: Width): Raw {
  return new Raw(concat([header("array", items.length, width).bytes, ...items.map(bytesOf)]));
}

/** A map from pairs in this order, the same key twice if asked, under a header of the given width. */
export function map(pairs: readonly (readonly [Value, Value])[], width?: Width): Raw {
  const items = pairs.flatMap(([key, value]) => [bytesOf(key), bytesOf(value)]);
  return new Raw(concat([header("map", pairs.length, width).bytes, ...items]));
}

/** The bytes of a value. */
export function bytesOf(value: Value): Uint8Array {
  if (value instanceof Raw) return value.bytes;
  if (value instanceof Uint8Array) return bin(value).bytes;
  if (typeof value === "string") return str(value).bytes;
  if (Array.isArray(value)) return array(value).bytes;
  if (value instanceof Map) return map([...value]).bytes;
  if (typeof value === "object" && value !== null) return map(Object.entries(value)).bytes;
  return encode(value, { useBigInt64: true });
}

/** An object as a pack holds it: `{object_id, content}`. */
export function object({ content, objectId = mpackKey(content) }: ObjectPart): Raw {
  return map([["object_id", objectId], ["content", content]]);
}

/**
 * A whole pack from its sections, in the order given: a record, or pairs where keys repeat or are
 * no strings.
 *
 * @example
 * ```ts
 * buildMpack({ commits: [], objects: [object({ content: new Uint8Array(3) })] });
 * buildMpack([[str("objects", 32), null], ["objects", []]], 16);
 * ```
 */
export function buildMpack(
  sections: { readonly [key: string]: Value } | readonly (readonly [Value, Value])[],
  width?: Width,
): Uint8Array {
  const pairs = Array.isArray(sections) ? sections : Object.entries(sections);
  return map(pairs, width).bytes;
}

/** The key of a pack, and likewise the id of a content: `sha256:` and 64 hex digits. */
export function mpackKey(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The bytes in chunks of `sizeBytes`, the last one shorter; each with a buffer of its own. */
export function cut(bytes: Uint8Array, sizeBytes: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / sizeBytes);
  return Array.from(
    { length: count },
    (_, i) => bytes.slice(i * sizeBytes, (i + 1) * sizeBytes),
  );
}

/** Joins byte arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offsetBytes = 0;
  for (const part of parts) {
    joined.set(part, offsetBytes);
    offsetBytes += part.length;
  }
  return joined;
}
