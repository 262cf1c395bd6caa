/**
 * The packs that tests read: the samples of this repository, and a larger corpus beside it where
 * there is one.
 *
 * @module
 */

const FOLDERS = [
  new URL("../../corpus/samples/", import.meta.url),
  new URL("../../../../shared/corpus/", import.meta.url),
];

/** What is known of a pack; the corpus says more than this. */
export interface PackFacts extends Record<string, unknown> {
  /** Length in bytes. */
  readonly size_bytes: number;
  /** Its key. */
  readonly mpack_key: string;
  /** Commits in it. */
  readonly commits: number;
  /** Snapshots in it. */
  readonly snapshots: number;
  /** Objects in it. */
  readonly objects: number;
  /** Tags in it. */
  readonly tags: number;
}

/** A pack with what is known of it. */
export interface CorpusPack {
  /** Its file's name without the ending. */
  readonly name: string;
  /** The pack. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Its `.facts.json`. */
  readonly facts: PackFacts;
  /** Its `.objects.tsv`, which only the corpus has. */
  readonly rowsText?: string;
}

/** Every pack there is. */
export async function corpusPacks(): Promise<CorpusPack[]> {
  const packs = [];
  for (const folder of FOLDERS) {
    try {
      for await (const { name } of Deno.readDir(folder)) {
        if (!name.endsWith(".mpack")) continue;
        const base = name.slice(0, -".mpack".length);
        packs.push({
          name: base,
          bytes: await Deno.readFile(new URL(name, folder)),
          facts: JSON.parse(await Deno.readTextFile(new URL(`${base}.facts.json`, folder))),
          ...await rowsOf(new URL(`${base}.objects.tsv`, folder)),
        });
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return packs.sort((one, other) => one.name < other.name ? -1 : 1);
}

async function rowsOf(file: URL): Promise<{ rowsText?: string }> {
  try {
    return { rowsText: await Deno.readTextFile(file) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}
