/**
 * Which keys a store accepts. The rule is the same for a folder and a bucket, so blobs can be copied
 * from one to the other, and no key can name a file outside the folder.
 *
 * @module
 */
import { ConfigError } from "../../errors.ts";

/** S3's limit for a key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;
/** Linux's limit for a file name, in bytes. */
const MAX_SEGMENT_BYTES = 255;
/** The folder for half-written blobs; no key may begin with it. */
export const TEMP_FOLDER = ".tmp";

const encoder = new TextEncoder();

/**
 * Returns `key` if it is a relative path with valid segments, such as `mpacks/r1/sha256:ab12`.
 *
 * @throws {ConfigError} If it is empty, absolute or too long, or if it has a segment that is empty,
 * `.` or `..`, a backslash, a control character, or half of a surrogate pair.
 */
export function checkKey(key: string): string {
  const problem = problemOf(key);
  if (problem === undefined) return key;
  throw new ConfigError(`Cannot use the blob key ${JSON.stringify(key.slice(0, 200))}: ${problem}`);
}

function problemOf(key: string): string | undefined {
  if (key === "") return "it is empty";
  if (!key.isWellFormed()) return "it is not well-formed Unicode";
  // deno-lint-ignore no-control-regex -- it looks for control characters
  if (/[\x00-\x1f\x7f]/.test(key)) return "it has a control character";
  if (key.includes("\\")) return "it has a backslash";
  if (key.startsWith("/")) return "it begins with a slash";
  if (isLonger(key, MAX_KEY_BYTES)) {
    return `it is ${bytesOf(key)} bytes long, ${MAX_KEY_BYTES} are allowed`;
  }
  const segments = key.split("/");
  if (segments[0] === TEMP_FOLDER) return `${TEMP_FOLDER} is reserved for half-written blobs`;
  for (const segment of segments) {
    if (segment === "") return "it has an empty segment";
    if (segment === "." || segment === "..") return `it has the segment ${segment}`;
    if (isLonger(segment, MAX_SEGMENT_BYTES)) {
      return `it has a segment of ${bytesOf(segment)} bytes, ${MAX_SEGMENT_BYTES} are allowed`;
    }
  }
  return undefined;
}

/** A UTF-16 unit takes three bytes of UTF-8 at most, so a short text needs no encoding. */
function isLonger(text: string, maxBytes: number): boolean {
  return 3 * text.length > maxBytes && bytesOf(text) > maxBytes;
}

function bytesOf(text: string): number {
  return encoder.encode(text).length;
}
