/**
 * Makes the small packs under tests/corpus/samples/ anew, and the facts beside each:
 * `deno run -A tests/corpus/make_samples.ts`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { decode } from "@msgpack/msgpack";
import { makeMpack, type MpackShape } from "../../scripts/make_mpack.ts";

/** What a sample's `.facts.json` says. */
export interface SampleFacts {
  /** The options that `makeMpack()` was given. */
  readonly shape: Partial<MpackShape>;
  /** The pack's key. */
  readonly mpack_key: string;
  /** Length of the pack in bytes. */
  readonly size_bytes: number;
  /** Elements of each section. */
  readonly commits: number;
  /** Elements of each section. */
  readonly snapshots: number;
  /** Elements of each section. */
  readonly objects: number;
  /** Elements of each section. */
  readonly tags: number;
  /** Object id, offset of the content and its length, in file order. */
  readonly rows: readonly [objectId: string, contentOffset: number, sizeBytes: number][];
  /** Ids that manifests name though they are not in the pack, sorted. */
  readonly manifest_ids_missing: readonly string[];
}

/** The samples by name. */
export const SAMPLES: Record<string, Partial<MpackShape>> = {
  prefixed: small({ objects: 12, tags: 2, size: { kind: "range", minBytes: 1, maxBytes: 700 } }),
  bare: small({ objects: 12, tags: 2, bare: true }),
  // Nothing but history: what a push looks like whose objects are all there already.
  slim: small({ objects: 0, known: 8, empty: false }),
  delta: small({ objects: 4, known: 9, empty: false, commits: 2, snapshots: 2 }),
  // Sections from back to front, and one that indexers do not know.
  disordered: small({
    objects: 6,
    tags: 1,
    sorted: false,
    sections: ["branch_heads", "tags", "objects", "snapshots", "commits"],
  }),
  "every-bin-header": small({
    objects: 5,
    commits: 1,
    snapshots: 1,
    hugeBytes: 65_536,
    size: { kind: "range", minBytes: 200, maxBytes: 300 },
  }),
};

function small(shape: Partial<MpackShape>): Partial<MpackShape> {
  const size = { kind: "range", minBytes: 1, maxBytes: 300 } as const;
  return { commits: 3, snapshots: 3, paths: 16, seed: 3, size, ...shape };
}

interface Decoded {
  readonly commits: unknown[];
  readonly snapshots: { manifest: Record<string, string> }[];
  readonly objects: { object_id: string; content: Uint8Array }[];
  readonly tags?: unknown[];
}

/** A sample's bytes and facts; the facts come from a decoder that is not ours. */
export async function makeSample(
  shape: Partial<MpackShape>,
): Promise<{ bytes: Uint8Array; facts: SampleFacts }> {
  const chunks = [];
  for await (const chunk of makeMpack(shape)) chunks.push(new Uint8Array(chunk));
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  const pack = decode(bytes) as unknown as Decoded;
  const held = new Set(pack.objects.map(({ object_id }) => object_id));
  const named = new Set(pack.snapshots.flatMap(({ manifest }) => Object.values(manifest)));
  const facts = {
    shape,
    mpack_key: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
    size_bytes: bytes.length,
    commits: pack.commits.length,
    snapshots: pack.snapshots.length,
    objects: pack.objects.length,
    tags: pack.tags?.length ?? 0,
    // A decoded content is a view into the pack, so its offset there is the content's.
    rows: pack.objects.map(({ object_id, content }) =>
      [object_id, content.byteOffset, content.length] as [string, number, number]
    ),
    manifest_ids_missing: [...named].filter((id) => !held.has(id)).sort(),
  };
  return { bytes, facts };
}

if (import.meta.main) {
  const folder = new URL("samples/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, shape] of Object.entries(SAMPLES)) {
    const { bytes, facts } = await makeSample(shape);
    await Deno.writeFile(new URL(`${name}.mpack`, folder), bytes);
    await Deno.writeTextFile(
      new URL(`${name}.facts.json`, folder),
      JSON.stringify(facts, null, 2) + "\n",
    );
    console.log(`${name}: ${facts.objects} objects, ${facts.size_bytes} bytes`);
  }
}
