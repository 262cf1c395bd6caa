/**
 * Which keys a store takes. One rule for the folder and the bucket, so that a blob can be moved
 * from one to the other and no key can leave the folder.
 *
 * @module
 */
import { ConfigError } from "../../errors.ts";

/** The longest key S3 takes, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;
/** The longest file name Linux takes, in bytes. */
const MAX_SEGMENT_BYTES = 255;
/** The folder of a folder store that holds half-written blobs; no key may begin with it. */
export const TEMP_FOLDER = ".tmp";

const encoder = new TextEncoder();

/**
 * Returns `key` if it is a relative path with sound segments, such as `mpacks/r1/sha256:ab12`.
 *
 * @throws {ConfigError} If it is empty, absolute or too long, or holds `.`, `..`, an empty segment,
 * a backslash, a control character or half of a surrogate pair.
 */
export function checkKey(key: string): string {
  const fault = faultOf(key);
  if (fault !== undefined) {
    throw new ConfigError(`Cannot use the blob key ${JSON.stringify(key.slice(0, 200))}: ${fault}`);
  }
  return key;
}

function faultOf(key: string): string | undefined {
  if (key === "") return "it is empty";
  if (!key.isWellFormed()) return "it is not well-formed Unicode";
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  if (/[\x00-\x1f\x7f]/.test(key)) return "it holds a control character";
  if (key.includes("\\")) return "it holds a backslash";
  if (key.startsWith("/")) return "it begins with a slash";
  if (isLonger(key, MAX_KEY_BYTES)) {
    return `it is ${bytesOf(key)} bytes long, ${MAX_KEY_BYTES} are allowed`;
  }
  const segments = key.split("/");
  if (segments[0] === TEMP_FOLDER) return `${TEMP_FOLDER} is kept for half-written blobs`;
  for (const segment of segments) {
    if (segment === "") return "it has an empty segment";
    if (segment === "." || segment === "..") return `it has the segment ${segment}`;
    if (isLonger(segment, MAX_SEGMENT_BYTES)) {
      return `it has a segment of ${bytesOf(segment)} bytes, ${MAX_SEGMENT_BYTES} are allowed`;
    }
  }
  return undefined;
}

/** Whether `text` has more bytes; a unit of UTF-16 makes three at most, so most need no encoding. */
function isLonger(text: string, maxBytes: number): boolean {
  return 3 * text.length > maxBytes && bytesOf(text) > maxBytes;
}

function bytesOf(text: string): number {
  return encoder.encode(text).length;
}
