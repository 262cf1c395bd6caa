/**
 * Where OpenSSL's library lies on this machine.
 *
 * @module
 */

const FOLDERS = ["x86_64-linux-gnu", "aarch64-linux-gnu", "."].map((name) => `/usr/lib/${name}`);

/** The library's file; undefined if this machine has none in the usual places. */
export const LIBCRYPTO: string | undefined = FOLDERS.map((folder) => `${folder}/libcrypto.so.3`)
  .find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
