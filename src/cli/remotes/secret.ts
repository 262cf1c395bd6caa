/**
 * Reads a secret without showing it.
 *
 * @module
 */

import { CancelledError, ConfigError } from "../../errors.ts";
import { readLines } from "../input.ts";
import { tellRaw } from "../output.ts";

const MAX_CHARACTERS = 4_096;
const ENTER = /[\r\n]/;
const CTRL_C = "\x03", CTRL_D = "\x04", BACKSPACES = "\b\x7f";

/**
 * The first line of a file, or of stdin for `-`: typed without an echo, if stdin is a terminal.
 *
 * @throws {ConfigError} If there is none.
 */
export async function readSecret(path: string, prompt = "Token: "): Promise<string> {
  const text = path === "-" && Deno.stdin.isTerminal()
    ? await askSecret(prompt)
    : await firstLine(path);
  const secret = text.trim();
  if (secret !== "" && secret.length <= MAX_CHARACTERS && !/\s/.test(secret)) return secret;
  const where = path === "-" ? "stdin" : JSON.stringify(path);
  throw new ConfigError(`Cannot read a token from ${where}: its first line is none`);
}

async function firstLine(path: string): Promise<string> {
  for await (const line of await readLines(path)) return line;
  return "";
}

async function askSecret(prompt: string): Promise<string> {
  tellRaw(prompt);
  Deno.stdin.setRaw(true);
  try {
    let typed = "";
    const buffer = new Uint8Array(256), utf8 = new TextDecoder();
    for (;;) {
      const bytes = await Deno.stdin.read(buffer);
      if (bytes === null) return typed;
      for (const character of utf8.decode(buffer.subarray(0, bytes), { stream: true })) {
        if (character === CTRL_C) throw new CancelledError("Interrupted");
        if (ENTER.test(character) || character === CTRL_D) return typed;
        typed = BACKSPACES.includes(character) ? typed.slice(0, -1) : typed + character;
      }
    }
  } finally {
    Deno.stdin.setRaw(false);
    tellRaw("\n");
  }
}
