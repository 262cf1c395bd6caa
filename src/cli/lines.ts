/**
 * Lists that people give as text.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";

/**
 * The lines of a file, or of stdin for `-`, as they are read; empty ones are left out.
 *
 * @throws {ConfigError} If there is no such file.
 */
export async function readLines(path: string): Promise<AsyncIterable<string>> {
  return splitLines((await openInput(path)).pipeThrough(new TextDecoderStream()));
}

/**
 * A file's bytes, or those of stdin for `-`.
 *
 * @throws {ConfigError} If there is no such file, or it is a folder.
 */
export async function openInput(path: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  if (path === "-") return Deno.stdin.readable;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConfigError(`Cannot read "${path}": there is no such file`, { cause: error });
  }
  if (!(await file.stat()).isDirectory) return file.readable;
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
