/**
 * Reads files and pipes that a user names.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/**
 * The non-empty lines of a file, or of stdin for `-`.
 *
 * @throws {ConfigError} If there is no such file.
 */
export async function readLines(path: string): Promise<AsyncIterable<string>> {
  return splitLines((await openInput(path)).readable.pipeThrough(new TextDecoderStream()));
}

/** An open file, pipe or stdin. */
export interface Input {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  read(into: Uint8Array): Promise<number | null>;
  close(): void;
}

/**
 * Opens a file, or stdin for `-`.
 *
 * @throws {ConfigError} If there is no such file, or it is a folder.
 */
export async function openInput(path: string): Promise<Input> {
  if (path === "-") return Deno.stdin;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConfigError(`Cannot read "${path}": there is no such file`, { cause: error });
  }
  if (!(await file.stat()).isDirectory) return file;
  file.close();
  throw new ConfigError(`Cannot read "${path}": it is a folder`);
}

async function* splitLines(chunks: ReadableStream<string>) {
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? "";
    yield* lines.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}
