/**
 * Writes to stdout and stderr. A command succeeds only if everything it printed was written.
 *
 * `console.log` and `pipeTo(Deno.stdout.writable)` do not report that: the first throws out of order,
 * the second resolves although a write failed (Deno 2.9.6).
 *
 * @module
 */

import { fstatSync } from "node:fs";
import { CancelledError, OutputError } from "../errors.ts";

const ENCODER = new TextEncoder();
/** Control, format (such as right-to-left) and line separator characters, but not \n and \t. */
const CONTROLS = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Stdout, for writers of bytes. */
export const STDOUT = { write: writeSome };

/** Writes all bytes to stdout. */
export async function writeStdout(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await writeSome(bytes.subarray(at));
}

/** Prints a text and a line feed to stdout. Control characters are shown, not sent. */
export async function print(text: string): Promise<void> {
  await writeStdout(ENCODER.encode(`${showControls(text)}\n`));
}

/** Prints a value to stdout as one line of JSON. */
export async function printJson(value: unknown): Promise<void> {
  await print(JSON.stringify(value));
}

/** How bad what is told is, for a log that has levels. */
type Level = "warning" | "error";

let teller: ((text: string, level: Level) => void) | undefined;

/** From now on `tell` writes records of a log: a log in JSON has no other lines. */
export function tellAsRecords(write: (text: string, level: Level) => void): void {
  teller = write;
}

/** Writes a line for people to stderr. Never fails: there is no place left to report it. */
export function tell(text: string, level: Level = "error"): void {
  if (teller === undefined) tellRaw(`${showControls(text)}\n`);
  else teller(text, level);
}

/** Writes to stderr as it is, for the control sequences of a live line. */
export function tellRaw(text: string): void {
  const bytes = ENCODER.encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
  } catch {
    // Full or closed.
  }
}

/**
 * Replaces control characters by their escapes. A pack, a server or a store could otherwise send
 * commands to the terminal. Line feeds and tabs stay.
 */
export function showControls(text: string): string {
  return text.replace(CONTROLS, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""));
}

let opened: Pick<Deno.FsFile, "write"> | undefined;

async function writeSome(bytes: Uint8Array): Promise<number> {
  try {
    opened ??= await openStdout();
    return await opened.write(bytes);
  } catch (error) {
    throw outputError(error);
  }
}

/**
 * Opens a pipe again, so that its writes block: the parent may have made ours non-blocking. If such
 * a pipe is full, Deno's write fails without saying how much it has written.
 */
async function openStdout(): Promise<Pick<Deno.FsFile, "write">> {
  try {
    if (fstatSync(1).isFIFO()) return await Deno.open("/dev/stdout", { write: true });
  } catch {
    // Needs --allow-all. Without it, a full non-blocking pipe is an error.
  }
  return Deno.stdout;
}

/** Runs work that prints. It ends without an error if the reader closes stdout, as `head` does. */
export async function untilClosed(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const isClosed = error instanceof CancelledError &&
      error.cause instanceof Deno.errors.BrokenPipe;
    if (!isClosed) throw error;
  }
}

function outputError(cause: unknown): Error {
  if (cause instanceof Deno.errors.BrokenPipe) {
    return new CancelledError("Cannot write to stdout: its reader has closed it", { cause });
  }
  return new OutputError(`Cannot write to stdout: ${(cause as Error).message}`, { cause });
}

/** Names shards that did not answer: what is shown is not all. */
export function tellUnreachable(names: readonly string[]): void {
  if (names.length === 0) return;
  tell(`Not from ${names.join(", ")}: "mpackd shard list" says why`, "warning");
}
