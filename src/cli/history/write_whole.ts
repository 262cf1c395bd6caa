import { writeStdout } from "../output.ts";

/**
 * Writes a file that appears when it is complete, or to stdout for `-`. Nothing is left of a file if
 * this fails.
 *
 * @returns The number of bytes.
 */
export async function writeWhole(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  { signal, onChunk }: {
    readonly signal: AbortSignal;
    readonly onChunk?: (sizeBytes: number) => void;
  },
): Promise<number> {
  let sizeBytes = 0;
  const each = async (write: (bytes: Uint8Array) => Promise<void>) => {
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      await write(chunk);
      sizeBytes += chunk.length;
      onChunk?.(sizeBytes);
    }
  };
  if (path === "-") {
    await each(writeStdout);
    return sizeBytes;
  }
  const part = `${path}.part`;
  const file = await Deno.open(part, { write: true, create: true, truncate: true });
  let isWhole = false;
  try {
    try {
      await each(async (bytes) => {
        for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      });
      await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(part, path);
    isWhole = true;
  } finally {
    if (!isWhole) await Deno.remove(part);
  }
  return sizeBytes;
}
