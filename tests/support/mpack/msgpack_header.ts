/**
 * Reading one MessagePack header out of a whole byte array: the oracle's half of the format.
 *
 * @module
 */

/** The type families of MessagePack; `never` is the byte 0xc1. */
export type Family =
  | "nil"
  | "bool"
  | "int"
  | "float"
  | "str"
  | "bin"
  | "ext"
  | "array"
  | "map"
  | "never";

/** A header: everything of a value but its body. */
export interface Header {
  /** The type family. */
  readonly family: Family;
  /** Where the header begins. */
  readonly offsetBytes: number;
  /** Where the body begins, right after the header. */
  readonly bodyOffsetBytes: number;
  /** Length in bytes of the body of a str, bin or ext; elements of an array; pairs of a map. */
  readonly length: number;
  /** What makes a scalar or an ext type differ from others of its family: its value, its number. */
  readonly value: number | bigint | boolean | null;
}

/** How the bytes after the first one are to be read, by first byte. */
type Layout = [family: Family, field: Field, extTypeBytes?: 0 | 1];
type Field = "" | "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "f32" | "f64";

const LAYOUTS: Record<number, Layout> = {
  0xc0: ["nil", ""],
  0xc1: ["never", ""],
  0xc2: ["bool", ""],
  0xc3: ["bool", ""],
  0xc4: ["bin", "u8"],
  0xc5: ["bin", "u16"],
  0xc6: ["bin", "u32"],
  0xc7: ["ext", "u8", 1],
  0xc8: ["ext", "u16", 1],
  0xc9: ["ext", "u32", 1],
  0xca: ["float", "f32"],
  0xcb: ["float", "f64"],
  0xcc: ["int", "u8"],
  0xcd: ["int", "u16"],
  0xce: ["int", "u32"],
  0xcf: ["int", "u64"],
  0xd0: ["int", "i8"],
  0xd1: ["int", "i16"],
  0xd2: ["int", "i32"],
  0xd3: ["int", "i64"],
  0xd4: ["ext", "", 1],
  0xd5: ["ext", "", 1],
  0xd6: ["ext", "", 1],
  0xd7: ["ext", "", 1],
  0xd8: ["ext", "", 1],
  0xd9: ["str", "u8"],
  0xda: ["str", "u16"],
  0xdb: ["str", "u32"],
  0xdc: ["array", "u16"],
  0xdd: ["array", "u32"],
  0xde: ["map", "u16"],
  0xdf: ["map", "u32"],
};

const FIELD_BYTES: Record<Field, number> = {
  "": 0,
  ...{ u8: 1, u16: 2, u32: 4, u64: 8 },
  ...{ i8: 1, i16: 2, i32: 4, i64: 8, f32: 4, f64: 8 },
};

/** Reads the header at `offsetBytes`; undefined if the bytes end before it does. */
export function readHeader(bytes: Uint8Array, offsetBytes: number): Header | undefined {
  if (offsetBytes >= bytes.length) return undefined;
  const first = bytes[offsetBytes];
  const short = (family: Family, length: number, value: number | null = null): Header => ({
    family,
    offsetBytes,
    bodyOffsetBytes: offsetBytes + 1,
    length,
    value,
  });
  if (first < 0x80) return short("int", 0, first);
  if (first < 0x90) return short("map", first - 0x80);
  if (first < 0xa0) return short("array", first - 0x90);
  if (first < 0xc0) return short("str", first - 0xa0);
  if (first >= 0xe0) return short("int", 0, first - 0x100);

  const [family, field, extTypeBytes = 0] = LAYOUTS[first];
  const bodyOffsetBytes = offsetBytes + 1 + FIELD_BYTES[field] + extTypeBytes;
  if (bodyOffsetBytes > bytes.length) return undefined;
  const number = readField(bytes, offsetBytes + 1, field);
  const header = { family, offsetBytes, bodyOffsetBytes };
  switch (family) {
    case "ext": {
      const length = field === "" ? 2 ** (first - 0xd4) : Number(number);
      return { ...header, length, value: bytes[bodyOffsetBytes - 1] };
    }
    case "bool":
      return { ...header, length: 0, value: first === 0xc3 };
    case "int":
    case "float":
      return { ...header, length: 0, value: number };
    default:
      return { ...header, length: Number(number), value: null };
  }
}

function readField(bytes: Uint8Array, offsetBytes: number, field: Field): number | bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  switch (field) {
    case "":
      return 0;
    case "u8":
      return view.getUint8(offsetBytes);
    case "u16":
      return view.getUint16(offsetBytes);
    case "u32":
      return view.getUint32(offsetBytes);
    case "u64":
      return view.getBigUint64(offsetBytes);
    case "i8":
      return view.getInt8(offsetBytes);
    case "i16":
      return view.getInt16(offsetBytes);
    case "i32":
      return view.getInt32(offsetBytes);
    case "i64":
      return view.getBigInt64(offsetBytes);
    case "f32":
      return view.getFloat32(offsetBytes);
    case "f64":
      return view.getFloat64(offsetBytes);
  }
}
