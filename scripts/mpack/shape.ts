/**
 * What a generated pack looks like: its options, their defaults, and the sizes they stand for.
 *
 * @module
 */

import { readBytes, SIZE_FORMS } from "../../src/lib/text/quantities.ts";

/** A top-level key that the generator can write. */
export type Section = "commits" | "snapshots" | "objects" | "tags" | "branch_heads";

/** How large objects are: all alike, evenly spread, or log-normal like the files of a repo. */
export type SizeSpec =
  | { readonly kind: "range"; readonly minBytes: number; readonly maxBytes: number }
  | { readonly kind: "lognormal"; readonly medianBytes: number };

/** The shape of one pack. The same shape always gives the same bytes. */
export interface MpackShape {
  /** Objects in the pack, the empty and the huge one included. Default 1,000. */
  readonly objects: number;
  /** Further objects that manifests name though they lie in earlier packs. Default 0. */
  readonly known: number;
  /** Sizes of ordinary objects. Default log-normal around 7,000 bytes. */
  readonly size: SizeSpec;
  /** Size in bytes of one object in the middle of the section; 0 for none. Default 0. */
  readonly hugeBytes: number;
  /** Whether the empty object is in the pack, as it is in nearly every real one. Default true. */
  readonly empty: boolean;
  /** Commits, child first, in one line of history. Default 10. */
  readonly commits: number;
  /** Snapshots. Default 10. */
  readonly snapshots: number;
  /** Paths per manifest at most. Default 500. */
  readonly paths: number;
  /** Whether the paths of manifests come in no order, in place of sorted. Default false. */
  readonly shuffled: boolean;
  /** Tags. Default 0. */
  readonly tags: number;
  /** Chooses the contents, 0 to 2^32-1. Default 1. */
  readonly seed: number;
  /** Bare hex ids, as older clients write them, in place of `sha256:<hex>`. Default false. */
  readonly bare: boolean;
  /** Objects sorted by id, as the real client writes them (all but the huge one). Default true. */
  readonly sorted: boolean;
  /** Sections in file order. Default commits, snapshots, objects, and tags if there are any. */
  readonly sections: readonly Section[];
}

/** Ids are kept in memory, 32 bytes each: at most 512 MiB of them. */
const MAX_IDS = 2 ** 24;
/** The widest MessagePack header, bin 32, ends here. */
const MAX_BIN_BYTES = 2 ** 32 - 1;
const DEFAULT_MEDIAN_BYTES = 7_000;
const SECTIONS: readonly string[] = ["commits", "snapshots", "objects", "tags", "branch_heads"];

/**
 * Fills in the defaults and checks that the shape can be built.
 *
 * @throws {RangeError} If an option is out of its range, or two contradict each other.
 */
export function shapeOf(options: Partial<MpackShape> = {}): MpackShape {
  const tags = options.tags ?? 0;
  const shape: MpackShape = {
    objects: 1_000,
    known: 0,
    size: { kind: "lognormal", medianBytes: DEFAULT_MEDIAN_BYTES },
    hugeBytes: 0,
    empty: true,
    commits: 10,
    snapshots: 10,
    paths: 500,
    shuffled: false,
    tags,
    seed: 1,
    bare: false,
    sorted: true,
    sections: ["commits", "snapshots", "objects", ...(tags > 0 ? ["tags" as const] : [])],
    ...options,
  };
  const counts = ["objects", "known", "commits", "snapshots", "tags", "paths", "seed"] as const;
  for (const name of counts) requireInteger(name, shape[name], 2 ** 32 - 1);
  requireInteger("objects and known together", shape.objects + shape.known, MAX_IDS);
  requireInteger("huge", shape.hugeBytes, MAX_BIN_BYTES);
  if (shape.hugeBytes > 0 && shape.objects < (shape.empty ? 2 : 1)) {
    throw new RangeError(
      `Cannot make a pack: ${shape.objects} objects leave no room for the huge one`,
    );
  }
  if (new Set(shape.sections).size < shape.sections.length) {
    throw new RangeError(`Cannot make a pack: sections repeat in "${shape.sections.join(",")}"`);
  }
  return shape;
}

function requireInteger(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(
      `Cannot make a pack: ${name} is ${value}, not an integer from 0 to ${max}`,
    );
  }
}

/**
 * Reads a byte count such as `512`, `64KiB`, `1.5MiB` or `2GiB`.
 *
 * @throws {RangeError} If it is none.
 */
export function parseBytes(text: string): number {
  const bytes = readBytes(text);
  if (bytes === undefined) {
    throw new RangeError(`Cannot read the size "${text}": want ${SIZE_FORMS}`);
  }
  if (bytes > MAX_BIN_BYTES) {
    throw new RangeError(`Cannot make an object of ${text}: a bin holds ${MAX_BIN_BYTES} bytes`);
  }
  return bytes;
}

/**
 * Reads a size specification: `BYTES`, `MIN..MAX` or `lognormal[:MEDIAN]`.
 *
 * @throws {RangeError} If it is none.
 */
export function parseSize(text: string): SizeSpec {
  const [kind, median] = text.split(":");
  if (kind === "lognormal") {
    return { kind, medianBytes: median ? parseBytes(median) : DEFAULT_MEDIAN_BYTES };
  }
  const [min, max = min] = text.split("..");
  const [minBytes, maxBytes] = [parseBytes(min), parseBytes(max)];
  if (minBytes > maxBytes) {
    throw new RangeError(`Cannot read the size "${text}": ${minBytes} is more than ${maxBytes}`);
  }
  return { kind: "range", minBytes, maxBytes };
}

/**
 * Reads a comma-separated list of sections.
 *
 * @throws {RangeError} If one is unknown.
 */
export function parseSections(text: string): Section[] {
  return text.split(",").map((name) => {
    if (!SECTIONS.includes(name)) {
      throw new RangeError(
        `Cannot write a section "${name}": it is none of ${SECTIONS.join(", ")}`,
      );
    }
    return name as Section;
  });
}
