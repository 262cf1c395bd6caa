/**
 * Objects as a tar archive, named by their ids.
 *
 * @see {@link https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html | ustar}
 * @module
 */

import type { ObjectEntry } from "../../objects/read_objects.ts";
import { STDOUT } from "../output.ts";
import type { ExportSink } from "./sink.ts";
import { WriteBehind } from "./write_behind.ts";

const BLOCK_BYTES = 512;
const ENCODER = new TextEncoder();

/**
 * Exports to a tar archive: a file, which appears when it is complete, or `-` for stdout. An object
 * that fails in the middle is removed from a file again; from stdout it cannot be.
 */
export async function openTarSink(path: string): Promise<ExportSink> {
  const part = `${path}.part`;
  const file = path === "-"
    ? undefined
    : await Deno.open(part, { write: true, create: true, truncate: true });
  const out = new WriteBehind(file ?? STDOUT);
  let sizeBytes = 0;
  const put = async (bytes: Uint8Array) => {
    await out.put(bytes);
    sizeBytes += bytes.length;
  };
  return {
    canSkip: file !== undefined,
    async write(entry) {
      const startBytes = sizeBytes;
      try {
        await put(headerOf(entry));
        for await (const chunk of entry.chunks()) await put(chunk);
        await put(new Uint8Array(paddingOf(entry)));
      } catch (error) {
        await out.flush();
        await file?.truncate(startBytes);
        await file?.seek(startBytes, Deno.SeekMode.Start);
        sizeBytes = startBytes;
        throw error;
      }
    },
    async commit() {
      await put(new Uint8Array(2 * BLOCK_BYTES));
      await out.flush();
      file?.close();
      if (file) await Deno.rename(part, path);
    },
    async discard() {
      await out.discard();
      file?.close();
      if (file) await Deno.remove(part);
    },
  };
}

function paddingOf({ sizeBytes }: ObjectEntry): number {
  return (BLOCK_BYTES - sizeBytes % BLOCK_BYTES) % BLOCK_BYTES;
}

/** Without time and owner, so that the same objects give the same archive. */
function headerOf({ objectId, sizeBytes }: ObjectEntry): Uint8Array {
  const header = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => ENCODER.encodeInto(text, header.subarray(at));
  const putOctal = (at: number, value: number, digits: number) =>
    put(at, value.toString(8).padStart(digits, "0"));
  put(0, objectId);
  putOctal(100, 0o644, 7);
  putOctal(108, 0, 7);
  putOctal(116, 0, 7);
  // A MessagePack bin is below 4 GiB; eleven octal digits reach 8 GiB.
  putOctal(124, sizeBytes, 11);
  putOctal(136, 0, 11);
  put(148, " ".repeat(8));
  put(156, "0");
  put(257, "ustar\x0000");
  putOctal(148, header.reduce((sum, byte) => sum + byte), 6);
  header[154] = 0;
  return header;
}
