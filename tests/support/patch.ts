/**
 * Damage that nothing but a digest can find.
 *
 * @module
 */

/** Flips a bit of a stored blob in such a way that the store cannot tell. */
export async function patchByte(path: string, at: number): Promise<void> {
  const { mtime } = await Deno.stat(path);
  {
    using file = await Deno.open(path, { read: true, write: true });
    await file.seek(at, Deno.SeekMode.Start);
    const byte = new Uint8Array(1);
    await file.read(byte);
    byte[0] ^= 1;
    await file.seek(at, Deno.SeekMode.Start);
    await file.write(byte);
  }
  await Deno.utime(path, mtime!, mtime!);
}
