/**
 * Takes the body of `POST push` apart while it arrives: `bundle` is an mpack inside a MessagePack map
 * and passes through as a stream of bytes; the values around it are small and are kept.
 *
 * @module
 */

import { counted } from "../../../lib/numbers.ts";
import { headerBytes, MAX_HEADER_BYTES, TokenReader, Type } from "../../../stream/mpack/token.ts";
import { HttpProblem } from "../../problem.ts";
import { ValueScanner } from "./value_scanner.ts";

/** Keys of the map. Clients send three. */
const MAX_KEYS = 16;
/** Length of a key or of the branch's name, with its header. */
const MAX_TEXT_BYTES = 1_024;
/** Bytes of all values but the bundle. */
export const MAX_OTHER_BYTES = 64 * 1024;

/** What stands beside the bundle. */
export interface PushTerms {
  readonly branch: string;
  readonly force: boolean;
}

/**
 * One body, read once: first all of `bundle()`, then `terms()`. Dispose of it: a connection is not closed
 * while somebody may still read what a request brought.
 */
export class PushBody implements Disposable {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #token = new TokenReader();
  readonly #seen = new Set<string>();
  #chunk: Uint8Array = new Uint8Array();
  #at = 0;
  /** Entries of the map that were not read yet; undefined before its header was. */
  #entries: number | undefined;
  #otherBytes = 0;
  #branch: string | undefined;
  #force = false;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /**
   * Yields the bytes of the bundle, whole or not: whoever decodes them finds out.
   *
   * @throws {HttpProblem} 400, 413 or 422 if the body is not a map, or has no bundle.
   */
  async *bundle(): AsyncGenerator<Uint8Array, void, undefined> {
    this.#entries = await this.#mapHeader();
    if (!await this.#readUntilBundle()) throw invalid("it has no `bundle`");
    const scanner = new ValueScanner();
    while (!scanner.isDone) {
      if (this.#at === this.#chunk.length && !await this.#next()) return;
      const end = scanner.scan(this.#chunk, this.#at);
      const part = this.#chunk.subarray(this.#at, end);
      this.#at = end;
      yield part;
    }
  }

  /**
   * Reads the rest of the body.
   *
   * @throws {HttpProblem} 400, 413 or 422 if it is cut, goes on after the map, or names no branch.
   */
  async terms(): Promise<PushTerms> {
    if (await this.#readUntilBundle()) throw invalid("`bundle` comes twice");
    if (this.#at < this.#chunk.length || await this.#next()) throw malformed();
    // A job takes an empty name for none.
    if (!this.#branch) throw invalid("it names no `branch`");
    return { branch: this.#branch, force: this.#force };
  }

  [Symbol.dispose](): void {
    // Do not wait: a silent client may never answer.
    Promise.resolve(this.#chunks.return?.()).catch(() => {});
  }

  /** Reads entries; returns true before the value of `bundle`, false after the last entry. */
  async #readUntilBundle(): Promise<boolean> {
    while (this.#entries! > 0) {
      this.#entries!--;
      const key = await this.#key();
      if (key === "bundle") return true;
      const value = await this.#other();
      this.#token.read(value, 0);
      const { type } = this.#token;
      if (key === "branch") {
        if (type !== Type.Str) throw invalid("`branch` is not a string");
        this.#branch = textOf(value, this.#token);
      } else if (key === "force" && type !== Type.Nil) {
        if (type !== Type.Bool) throw invalid("`force` is not a boolean");
        this.#force = value[0] === 0xc3;
      }
    }
    return false;
  }

  async #mapHeader(): Promise<number> {
    const header = new Uint8Array(MAX_HEADER_BYTES);
    let filled = 0;
    do {
      if (this.#at === this.#chunk.length && !await this.#next()) throw malformed();
      header[filled++] = this.#chunk[this.#at++];
    } while (filled < headerBytes(header[0]));
    this.#token.read(header, 0);
    const { type, length } = this.#token;
    if (type !== Type.Map) throw invalid("it is not a map");
    if (length > MAX_KEYS) {
      throw invalid(`it has ${counted(length, "key")}, ${MAX_KEYS} are allowed`);
    }
    return length;
  }

  async #key(): Promise<string> {
    const bytes = await this.#value(MAX_TEXT_BYTES, "a key of the body");
    this.#token.read(bytes, 0);
    if (this.#token.type !== Type.Str) throw invalid("a key is not a string");
    const key = textOf(bytes, this.#token);
    if (this.#seen.has(key)) throw invalid(`\`${key.slice(0, 40)}\` comes twice`);
    this.#seen.add(key);
    return key;
  }

  async #other(): Promise<Uint8Array> {
    const value = await this.#value(MAX_OTHER_BYTES - this.#otherBytes, "what is beside `bundle`");
    this.#otherBytes += value.length;
    return value;
  }

  /** Reads one value of at most `maxBytes`. */
  async #value(maxBytes: number, what: string): Promise<Uint8Array> {
    const scanner = new ValueScanner(), parts: Uint8Array[] = [];
    let bytes = 0;
    while (!scanner.isDone) {
      if (this.#at === this.#chunk.length && !await this.#next()) throw malformed();
      const end = scanner.scan(this.#chunk, this.#at);
      bytes += end - this.#at;
      if (bytes > maxBytes) {
        throw new HttpProblem(413, "too-large", `Cannot read the push: ${what} is too long`);
      }
      // The next chunk may come in the same memory.
      parts.push(this.#chunk.slice(this.#at, end));
      this.#at = end;
    }
    if (parts.length === 1) return parts[0];
    const whole = new Uint8Array(bytes);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#chunks.next();
      if (done) return false;
      if (value.length === 0) continue;
      this.#chunk = value;
      this.#at = 0;
      return true;
    }
  }
}

function textOf(value: Uint8Array, { headerBytes }: TokenReader): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(value.subarray(headerBytes));
  } catch {
    throw invalid("a text in it is not UTF-8");
  }
}

function malformed(): HttpProblem {
  return new HttpProblem(
    400,
    "bad-request",
    "Cannot read the push: the body ends inside a value, or goes on after it",
  );
}

function invalid(why: string): HttpProblem {
  return new HttpProblem(422, "invalid-body", `Cannot read the push: ${why}`);
}
