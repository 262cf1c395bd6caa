/**
 * Reads the `Range` field.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-14.2 | RFC 9110, section 14.2}
 * @module
 */

import { HttpProblem } from "./problem.ts";

/** A range of bytes. */
export interface Range {
  readonly offsetBytes: number;
  /** 1 or more. */
  readonly lengthBytes: number;
}

/**
 * Reads the requested range and cuts it to the object's size.
 *
 * @returns Undefined without a range, or for a form that RFC 9110 lets us ignore (other units,
 * several ranges).
 * @throws {HttpProblem} 416 if the range starts past the end.
 */
export function parseRange(field: string | null, sizeBytes: number): Range | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(field?.trim() ?? "") ?? [];
  if (first === undefined || (first === "" && last === "")) return undefined;
  if (first === "") {
    const lengthBytes = Math.min(Number(last), sizeBytes);
    if (lengthBytes === 0) throw unsatisfiable(sizeBytes);
    return { offsetBytes: sizeBytes - lengthBytes, lengthBytes };
  }
  const offsetBytes = Number(first);
  const lastByte = last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (last !== "" && Number(last) < offsetBytes) return undefined;
  if (offsetBytes >= sizeBytes) throw unsatisfiable(sizeBytes);
  return { offsetBytes, lengthBytes: lastByte - offsetBytes + 1 };
}

function unsatisfiable(sizeBytes: number): HttpProblem {
  return new HttpProblem(
    416,
    "range-not-satisfiable",
    `Cannot send this range: the object has ${sizeBytes} bytes`,
    { headers: { "content-range": `bytes */${sizeBytes}` } },
  );
}
