/**
 * Reads the repo, mpack or object back from a blob's key, by the templates of the settings.
 *
 * @module
 */

import type { NamedBlob } from "../../db/garbage.ts";
import { PREFIXED_ID_PATTERN } from "../../lib/ids.ts";

export interface BlobNames {
  /** Prefixes under which such keys are; none is inside another. */
  readonly prefixes: readonly string[];
  /** What the key names. Undefined for a key that neither template makes: it is not ours. */
  read(key: string): NamedBlob | undefined;
}

/** Reads the keys that these two templates make. */
export function blobNames(
  { blobKey, objectKey }: { readonly blobKey: string; readonly objectKey: string },
): BlobNames {
  const pack = patternOf(blobKey), object = patternOf(objectKey);
  const prefixes = [...new Set([blobKey, objectKey].map((text) => text.replace(/\{.*/s, "")))];
  return {
    prefixes: prefixes.filter((one) =>
      !prefixes.some((other) => other !== one && one.startsWith(other))
    ),
    read(key) {
      const asPack = pack.exec(key)?.groups, asObject = object.exec(key)?.groups;
      if (asPack === undefined && asObject === undefined) return undefined;
      return {
        key,
        pack_repo: asPack?.repo_id,
        mpack_key: asPack?.mpack_key,
        object_repo: asObject?.repo_id,
        object_id: asObject?.object_id,
      };
    },
  };
}

/** The template as a regular expression. A repo's id is any text; the other two are digests. */
function patternOf(template: string): RegExp {
  const seen = new Set<string>();
  const pattern = template.split(/(\{(?:repo_id|mpack_key|object_id)\})/).map((part) => {
    const [, name] = /^\{(.*)\}$/.exec(part) ?? [];
    if (name === undefined) return part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
    if (seen.has(name)) return `\\k<${name}>`;
    seen.add(name);
    return name === "repo_id" ? "(?<repo_id>.+)" : `(?<${name}>${PREFIXED_ID_PATTERN})`;
  });
  return new RegExp(`^${pattern.join("")}$`, "s");
}
