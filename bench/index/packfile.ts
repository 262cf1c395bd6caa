/**
 * A git packfile with the contents of an mpack.
 *
 * @module
 */

import { MpackDecoder } from "../../decoder.ts";
import type { Pack } from "./resources.ts";

const FLUSH_BYTES = 4 * 1024 * 1024;

/**
 * Has git write the contents of a pack as blobs, neither compressed nor as deltas, which is what
 * suits `index-pack` best: it then has nothing to inflate and nothing to resolve.
 *
 * @returns The packfile's path.
 */
export async function writePackfile(pack: Pack, repo: string): Promise<string> {
  const git = (args: string[], stdin: "null" | "piped") =>
    new Deno.Command("git", { args, stdin, stdout: "null", stderr: "piped" }).spawn();
  await ended(git(["init", "--quiet", "--bare", repo], "null"));
  const settings = ["pack.compression=0", "core.compression=0", "fastimport.unpackLimit=0"];
  const importing = git([
    "-C",
    repo,
    ...settings.flatMap((setting) => ["-c", setting]),
    ...["fast-import", "--quiet", "--depth=0", "--big-file-threshold=4g"],
  ], "piped");
  const failed = ended(importing);
  const written = writeBlobs(pack, importing.stdin);
  await Promise.all([written, failed]);
  for await (const { name } of Deno.readDir(`${repo}/objects/pack`)) {
    if (name.endsWith(".pack")) return `${repo}/objects/pack/${name}`;
  }
  throw new Error("Cannot make a packfile: git fast-import wrote none");
}

async function ended(child: Deno.ChildProcess): Promise<void> {
  const [stderr, { success }] = await Promise.all([
    new Response(child.stderr).text(),
    child.status,
  ]);
  if (!success) throw new Error(`Cannot make a packfile: ${stderr}`);
}

async function writeBlobs(pack: Pack, stdin: WritableStream<Uint8Array>): Promise<void> {
  const writer = stdin.getWriter(), encoder = new TextEncoder();
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  const add = (bytes: Uint8Array) => {
    waiting.push(bytes);
    waitingBytes += bytes.length;
  };
  const decoder = new MpackDecoder({
    rows: false,
    hooks: {
      contentStart: (sizeBytes) => add(encoder.encode(`blob\ndata ${sizeBytes}\n`)),
      contentBytes: (bytes) => add(bytes.slice()),
      object: () => add(encoder.encode("\n")),
    },
  });
  const flush = async () => {
    const all = new Uint8Array(waitingBytes);
    let at = 0;
    for (const bytes of waiting) {
      all.set(bytes, at);
      at += bytes.length;
    }
    waiting = [];
    waitingBytes = 0;
    await writer.write(all);
  };
  const file = await Deno.open(pack.path);
  for await (const chunk of file.readable) {
    decoder.write(chunk);
    if (waitingBytes >= FLUSH_BYTES) await flush();
  }
  decoder.end();
  await flush();
  await writer.close();
}
