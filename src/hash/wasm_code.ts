/**
 * A few WebAssembly instructions as bytes, and a module of one function around them.
 *
 * @see {@link https://webassembly.github.io/spec/core/binary/ | binary format}
 * @module
 */

/** Instructions that leave one value on the stack, or none. */
export type Code = readonly number[];

/** An unsigned number in LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [value & 0x7f | 0x80, ...signed(value >> 7)];
}

const binary = (opcode: readonly number[]) => (first: Code, ...others: Code[]): Code =>
  first.concat(...others.map((operand) => operand.concat(opcode)));
const simd = (opcode: number) => [0xfd, ...unsigned(opcode)];

export const get = (local: number): Code => [0x20, local];
export const set = (local: number, value: Code): Code => value.concat(0x21, local);
export const tee = (local: number, value: Code): Code => value.concat(0x22, local);

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value | 0)],
  load: (at: Code, offset = 0): Code => [...at, 0x28, 2, ...unsigned(offset)],
  store: (at: Code, offset: number, value: Code): Code => [
    ...[...at, ...value, 0x36, 2],
    ...unsigned(offset),
  ],
  add: binary([0x6a]),
  and: binary([0x71]),
  xor: binary([0x73]),
  rotr: binary([0x78]),
  atLeast: binary([0x4f]),
};

export const v128 = {
  load: (at: Code, offset: number): Code => [...at, ...simd(0), 0, ...unsigned(offset)],
  /** Four constants of 32 bits. */
  const: (words: readonly number[]): Code => [
    ...simd(0x0c),
    ...new Uint8Array(Uint32Array.from(words).buffer),
  ],
  /** Picks 16 bytes: 0 to 15 are the first operand's, 16 to 31 the second's. */
  shuffle: (first: Code, second: Code, bytes: readonly number[]): Code => [
    ...[...first, ...second],
    ...[...simd(0x0d), ...bytes],
  ],
  or: binary(simd(0x50)),
  xor: binary(simd(0x51)),
  add32: binary(simd(0xae)),
  shiftLeft32: binary(simd(0xab)),
  shiftRight32: binary(simd(0xad)),
  shiftRight64: binary(simd(0xcd)),
  lane32: (value: Code, lane: number): Code => [...value, ...simd(0x1b), lane],
};

/** Repeats `body` until `isDone` is not 0. */
export function loopUntil(isDone: Code, body: Code): Code {
  const block = [0x02, 0x40], loop = [0x03, 0x40], end = 0x0b;
  return [...block, ...loop, ...isDone, 0x0d, 1, ...body, 0x0c, 0, end, end];
}

/** What a module is made of. */
interface ModuleParts {
  /** The name of its one function, which takes two i32 and returns nothing. */
  readonly name: string;
  /** How many i32 and v128 locals the function has, after its parameters 0 and 1. */
  readonly locals: { readonly i32: number; readonly v128: number };
  readonly code: Code;
  /** Pages of 64 KiB of its exported `memory`. */
  readonly pages: number;
}

/** The bytes of the module. */
export function wasmModule({ name, locals, code, pages }: ModuleParts): Uint8Array<ArrayBuffer> {
  const I32 = 0x7f, V128 = 0x7b;
  const text = (value: string) => [value.length, ...new TextEncoder().encode(value)];
  const section = (id: number, content: Code) => [id, ...unsigned(content.length), ...content];
  const body = [2, locals.i32, I32, locals.v128, V128, ...code, 0x0b];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic, version
    ...section(1, [1, 0x60, 2, I32, I32, 0]), // types
    ...section(3, [1, 0]), // functions
    ...section(5, [1, 0, pages]), // memories
    ...section(7, [2, ...text("memory"), 2, 0, ...text(name), 0, 0]), // exports
    ...section(10, [1, ...unsigned(body.length), ...body]), // code
  ]);
}
