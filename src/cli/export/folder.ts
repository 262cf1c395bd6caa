/**
 * Objects as files of one folder, named by their ids.
 *
 * @module
 */

import { join } from "node:path";
import type { ObjectEntry } from "../../objects/read_objects.ts";
import type { ExportSink } from "./sink.ts";

/** Files written at the same time: while one waits for the disk, the store sends the next. */
const MAX_PENDING = 8;

/** Exports to a folder, which is created if need be. Each file is complete or absent. */
export async function openFolderSink(folder: string): Promise<ExportSink> {
  await Deno.mkdir(folder, { recursive: true });
  const pending = new Set<Promise<void>>();
  let failure: unknown;
  const settle = async () => {
    await Promise.all(pending);
    if (failure !== undefined) throw failure;
  };
  return {
    canSkip: true,
    async write(entry) {
      const written = writeWhole(folder, entry);
      // A streamed content has to be read before the next entry.
      if (entry.content === undefined) return await written;
      const noted = written.catch((error) => failure ??= error);
      pending.add(noted);
      noted.finally(() => pending.delete(noted));
      if (pending.size >= MAX_PENDING) await Promise.race(pending);
      if (failure !== undefined) throw failure;
    },
    commit: settle,
    discard: () => settle().catch(() => {}),
  };
}

async function writeWhole(folder: string, entry: ObjectEntry): Promise<void> {
  const path = join(folder, entry.objectId), part = join(folder, `.part-${entry.objectId}`);
  try {
    await writeFile(part, entry);
    await Deno.rename(part, path);
  } catch (error) {
    await Deno.remove(part).catch(() => {});
    throw error;
  }
}

async function writeFile(path: string, entry: ObjectEntry): Promise<void> {
  if (entry.content !== undefined) return await Deno.writeFile(path, entry.content);
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for await (const chunk of entry.chunks()) {
    for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
  }
}
