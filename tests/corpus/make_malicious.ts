/**
 * Makes the corpus of malicious mpacks anew: `deno run -A tests/corpus/make_malicious.ts`.
 *
 * @module
 */

import { bombs } from "./cases/bombs.ts";
import type { MaliciousCase } from "./cases/case.ts";
import { histories } from "./cases/histories.ts";
import { keys } from "./cases/keys.ts";
import { objects } from "./cases/objects.ts";
import { shapes } from "./cases/shapes.ts";

/** One line of `index.json`. */
export interface MaliciousEntry {
  /** File name beside the index. */
  readonly file: string;
  /** The code it is refused with; null if it has to be accepted. */
  readonly code: string | null;
  /** First byte of what is wrong; null if nothing is. */
  readonly offset_bytes: number | null;
  /** What it is, and what a careless reader does with it. */
  readonly why: string;
  /** Limits to set, where the defaults would need a large file. */
  readonly limits?: MaliciousCase["limits"];
  /** True: the verdict is that of a reader who reads commits, snapshots and tags, too. */
  readonly history?: true;
}

/** Every case, by name. */
export function maliciousCases(): MaliciousCase[] {
  const cases = [...bombs(), ...histories(), ...keys(), ...objects(), ...shapes()];
  cases.sort((a, b) => a.name < b.name ? -1 : 1);
  const twice = cases.find(({ name }, i) => i > 0 && cases[i - 1].name === name);
  if (twice) throw new RangeError(`Cannot write two cases as ${twice.name}.mpack`);
  return cases;
}

/** A case's line of the index. */
export function entryOf(one: MaliciousCase): MaliciousEntry {
  const { name, code, offsetBytes, why, limits, history } = one;
  const entry = { file: `${name}.mpack`, code, offset_bytes: offsetBytes, why };
  return { ...entry, ...(limits && { limits }), ...(history && { history }) };
}

if (import.meta.main) {
  const folder = new URL("malicious/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(".mpack")) await Deno.remove(new URL(name, folder));
  }
  const cases = maliciousCases();
  for (const { name, bytes } of cases) {
    await Deno.writeFile(new URL(`${name}.mpack`, folder), bytes);
  }
  const index = JSON.stringify(cases.map(entryOf), null, 2);
  await Deno.writeTextFile(new URL("index.json", folder), index + "\n");
  const sizeBytes = cases.reduce((sum, { bytes }) => sum + bytes.length, 0);
  console.log(`${cases.length} files, ${sizeBytes} bytes`);
}
