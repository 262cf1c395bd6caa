/**
 * Objects as a tar archive, named by their ids.
 *
 * @module
 */

import { once } from "node:events";
// @ts-types="@types/tar-stream"
import { type Pack, pack } from "tar-stream";
import type { ExportSink } from "./export_sink.ts";

/** The same objects give the same archive. */
const EPOCH = new Date(0);

/**
 * A tar archive to export to: a file, which appears when it is whole, or `-` for stdout.
 */
export async function openTarSink(path: string): Promise<ExportSink> {
  const part = `${path}.part`;
  const file = path === "-"
    ? Deno.stdout
    : await Deno.open(part, { write: true, create: true, truncate: true });
  const archive = pack();
  const written = drain(archive, file);
  // Whoever waits for an entry or the end is told.
  written.catch((error) => archive.destroy(error));
  const close = () => path === "-" || file.close();
  return {
    // The header with the length is out already.
    canSkip: false,
    async write(entry) {
      const { objectId: name, sizeBytes: size } = entry;
      const done = Promise.withResolvers<void>();
      const header = { name, size, mode: 0o644, mtime: EPOCH };
      const sink = archive.entry(header, (error) => error ? done.reject(error) : done.resolve());
      sink.on("error", done.reject);
      done.promise.catch(() => {});
      for await (const chunk of entry.chunks()) {
        if (!sink.write(chunk)) await Promise.race([once(sink, "drain"), done.promise]);
      }
      sink.end();
      await done.promise;
    },
    async finish() {
      archive.finalize();
      await written;
      close();
      if (path !== "-") await Deno.rename(part, path);
    },
    async abandon() {
      archive.destroy();
      await written.catch(() => {});
      close();
      if (path !== "-") await Deno.remove(part);
    },
  };
}

async function drain(archive: Pack, file: { write(bytes: Uint8Array): Promise<number> }) {
  for await (const chunk of archive as AsyncIterable<Uint8Array>) {
    for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
  }
}
