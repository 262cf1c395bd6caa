/**
 * The texts of records: ids are hashed over some of them with NUL between, so none may contain one.
 *
 * @module
 */

import { badText } from "../refusals.ts";
import type { Value } from "../value.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The kept value as text. */
export function textOf(value: Value): string {
  const text = decode(value);
  if (text.includes("\0")) throw badText("it contains NUL", value.offsetBytes);
  return text;
}

/** Throws unless the kept value is a text. */
export function checkText(value: Value): void {
  const { bytes, at, sizeBytes } = value.kept;
  let isAscii = true;
  for (let i = at; i < at + sizeBytes; i++) isAscii &&= bytes[i] > 0 && bytes[i] < 0x80;
  if (!isAscii) textOf(value);
}

function decode({ kept, offsetBytes }: Value): string {
  try {
    return UTF8.decode(kept.view());
  } catch (cause) {
    throw badText("it is not UTF-8", offsetBytes, cause);
  }
}
