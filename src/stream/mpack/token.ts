/**
 * Reads one MessagePack header: its type, and the length it declares.
 *
 * @see {@link https://github.com/msgpack/msgpack/blob/master/spec.md#formats | formats}
 * @module
 */

/** The type families of MessagePack. */
export const enum Type {
  /** nil */
  Nil,
  /** true and false */
  Bool,
  /** every integer width, signed or not */
  Int,
  /** float 32 and float 64 */
  Float,
  /** fixstr, str 8 to 32 */
  Str,
  /** bin 8 to 32 */
  Bin,
  /** fixext, ext 8 to 32 */
  Ext,
  /** fixarray, array 16 and 32 */
  Array,
  /** fixmap, map 16 and 32 */
  Map,
  /** 0xc1, which the specification leaves unused */
  Never,
}

/** Types by first byte from 0xc0 to 0xdf; the other bytes follow a rule. */
const TYPES = [
  ...[Type.Nil, Type.Never, Type.Bool, Type.Bool],
  ...[Type.Bin, Type.Bin, Type.Bin, Type.Ext, Type.Ext, Type.Ext],
  ...[Type.Float, Type.Float],
  ...[Type.Int, Type.Int, Type.Int, Type.Int, Type.Int, Type.Int, Type.Int, Type.Int],
  ...[Type.Ext, Type.Ext, Type.Ext, Type.Ext, Type.Ext],
  ...[Type.Str, Type.Str, Type.Str],
  ...[Type.Array, Type.Array, Type.Map, Type.Map],
];
const FIRST = 0xc0;

/** Bytes after the first one that belong to the header, from 0xc0 to 0xdf. */
const EXTRA = [
  ...[0, 0, 0, 0], // nil, never, false, true
  ...[1, 2, 4], // bin 8 to 32
  ...[2, 3, 5], // ext 8 to 32: length and type
  ...[4, 8], // float
  ...[1, 2, 4, 8, 1, 2, 4, 8], // uint, int
  ...[1, 1, 1, 1, 1], // fixext: type
  ...[1, 2, 4], // str 8 to 32
  ...[2, 4, 2, 4], // array, map
];

const NONE = new Uint8Array(0);
const TYPE_OF = new Uint8Array(256);
const HEADER_BYTES = new Uint8Array(256);
const WHOLE_BYTES = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const regular = byte < 0x80 || byte >= 0xe0
    ? Type.Int
    : byte < 0x90
    ? Type.Map
    : byte < 0xa0
    ? Type.Array
    : Type.Str;
  const isListed = byte >= FIRST && byte < 0xe0;
  TYPE_OF[byte] = isListed ? TYPES[byte - FIRST] : regular;
  HEADER_BYTES[byte] = 1 + (isListed ? EXTRA[byte - FIRST] : 0);
  const type = TYPE_OF[byte];
  if (type <= Type.Float) WHOLE_BYTES[byte] = HEADER_BYTES[byte];
  else if (type === Type.Str && !isListed) WHOLE_BYTES[byte] = 1 + (byte & 0x1f);
}

/** The longest header: a float 64 or a 64-bit integer. */
export const MAX_HEADER_BYTES = 9;

/** Length of a header by its first byte, 1 to 9. The value of a scalar belongs to its header. */
export function headerBytes(first: number): number {
  return HEADER_BYTES[first];
}

/**
 * Length of a whole value by its first byte; 0 if the first byte alone does not tell, and for
 * containers and 0xc1.
 */
export function wholeBytes(first: number): number {
  return WHOLE_BYTES[first];
}

/** The header last read. Instances are reused, so that a header costs no object. */
export class TokenReader {
  /** The type family. */
  type: Type = Type.Nil;
  /** Bytes of a string, binary or extension; elements of an array; entries of a map; else 0. */
  length = 0;
  /** Length of the header in bytes. */
  headerBytes = 1;
  /** Type number of an extension as an unsigned byte, 0 to 255. */
  extType = 0;
  #source: Uint8Array = NONE;
  #at = 0;

  /** Reads the header at `source[at]`; all its bytes must be there. */
  read(source: Uint8Array, at: number): void {
    const first = source[at];
    this.type = TYPE_OF[first];
    this.headerBytes = HEADER_BYTES[first];
    this.#source = source;
    this.#at = at;
    if (first < 0x80 || first >= 0xe0) this.length = 0;
    else if (first < 0xa0) this.length = first & 0x0f;
    else if (first < FIRST) this.length = first & 0x1f;
    else this.#readLong(source, at, first);
  }

  #readLong(source: Uint8Array, at: number, first: number): void {
    switch (first) {
      case 0xc4: // bin 8
      case 0xd9: // str 8
        this.length = source[at + 1];
        return;
      case 0xc5: // bin 16
      case 0xda: // str 16
      case 0xdc: // array 16
      case 0xde: // map 16
        this.length = uint16(source, at + 1);
        return;
      case 0xc6: // bin 32
      case 0xdb: // str 32
      case 0xdd: // array 32
      case 0xdf: // map 32
        this.length = uint32(source, at + 1);
        return;
      case 0xc7: // ext 8
        this.length = source[at + 1];
        this.extType = source[at + 2];
        return;
      case 0xc8: // ext 16
        this.length = uint16(source, at + 1);
        this.extType = source[at + 3];
        return;
      case 0xc9: // ext 32
        this.length = uint32(source, at + 1);
        this.extType = source[at + 5];
        return;
      case 0xd4: // fixext 1 to 16
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        this.length = 1 << (first - 0xd4);
        this.extType = source[at + 1];
        return;
      default:
        this.length = 0;
    }
  }

  /** The number, if it is an integer from 0 to 2^53 - 1. */
  unsigned(): number | undefined {
    if (this.type !== Type.Int) return undefined;
    const view = new DataView(this.#source.buffer, this.#source.byteOffset + this.#at);
    const value = Number(integer(view, view.getUint8(0)));
    return value >= 0 && Number.isSafeInteger(value) ? value : undefined;
  }

  /**
   * The scalar in nine bytes that do not depend on its width, so that `1` as fixint and as uint 64
   * are the same map key. A float and an integer are different keys even if they are equal.
   */
  canonicalScalar(): Uint8Array {
    const bytes = new Uint8Array(9), out = new DataView(bytes.buffer);
    const view = new DataView(this.#source.buffer, this.#source.byteOffset + this.#at);
    const first = view.getUint8(0);
    switch (first) {
      case 0xc0:
        break;
      case 0xc2:
      case 0xc3:
        bytes[0] = first;
        break;
      case 0xca:
      case 0xcb: {
        const value = first === 0xca ? view.getFloat32(1) : view.getFloat64(1);
        // Adding 0 turns -0 into 0; all NaNs become one.
        out.setFloat64(1, Number.isNaN(value) ? NaN : value + 0);
        break;
      }
      default: {
        const value = integer(view, first);
        bytes[0] = value < 0n ? 1 : 0;
        out.setBigUint64(1, BigInt.asUintN(64, value));
      }
    }
    return bytes;
  }
}

function integer(view: DataView, first: number): bigint {
  switch (first) {
    case 0xcc:
      return BigInt(view.getUint8(1));
    case 0xcd:
      return BigInt(view.getUint16(1));
    case 0xce:
      return BigInt(view.getUint32(1));
    case 0xcf:
      return view.getBigUint64(1);
    case 0xd0:
      return BigInt(view.getInt8(1));
    case 0xd1:
      return BigInt(view.getInt16(1));
    case 0xd2:
      return BigInt(view.getInt32(1));
    case 0xd3:
      return view.getBigInt64(1);
    default:
      return BigInt(view.getInt8(0));
  }
}

function uint16(source: Uint8Array, at: number): number {
  return (source[at] << 8) | source[at + 1];
}

function uint32(source: Uint8Array, at: number): number {
  return source[at] * 0x1000000 + ((source[at + 1] << 16) | (source[at + 2] << 8) | source[at + 3]);
}
