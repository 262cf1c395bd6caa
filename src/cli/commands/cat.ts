/**
 * `main.ts cat OBJECT_ID --repo OWNER/SLUG`: one object's bytes.
 *
 * @module
 */

import type { Command } from "commander";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { locateObject } from "../../objects/locate_object.ts";
import { readLocated } from "../../objects/read_object.ts";
import { parseCount } from "../flags.ts";
import type { CommandContext } from "../command.ts";
import { openBlobStore, openDatabase } from "../resources.ts";

interface CatFlags {
  readonly repo: string;
  readonly offset?: string;
  readonly length?: string;
  readonly json?: boolean;
}

/** Adds the command. */
export function addCatCommand(program: Command, context: CommandContext): void {
  program.command("cat")
    .summary("write one object to stdout")
    .description(
      "Write one object's bytes to stdout, through the repo's own ref, checked against its id. Up\n" +
        "to 1 MiB nothing is written before the check; of a larger object the last part is held\n" +
        "back until then.",
    )
    .argument("<object_id>", "as it was pushed: sha256:<64 hex digits>, or the digits alone")
    .requiredOption("--repo <owner/slug>", "the repo that has the object")
    .option("--offset <bytes>", "begin at this byte of the object")
    .option("--length <bytes>", "write so many bytes at most")
    .option("--json", "check the object and say where it lies, in place of writing it")
    .action((objectId: string, flags: CatFlags) =>
      context.run(flags, (signal) => runCat(objectId, flags, context, signal))
    );
}

async function runCat(
  objectId: string,
  flags: CatFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  const range = {
    offsetBytes: flags.offset === undefined ? undefined : parseCount("--offset", flags.offset),
    lengthBytes: flags.length === undefined ? undefined : parseCount("--length", flags.length),
  };
  const config = context.config();
  const store = await openBlobStore(config);
  await using opened = await openDatabase(config, { maxConnections: 1 });
  const { db } = opened;
  const { repoId } = await resolveRepo(db, parseRepoName(flags.repo), { create: false });
  const location = await locateObject({ db, repoId, objectId });
  const { offsetBytes = 0 } = range;
  if (offsetBytes > location.sizeBytes) {
    throw new ConfigError(
      `Cannot use --offset ${offsetBytes}: the object has ${location.sizeBytes} bytes`,
    );
  }
  const { stream, lengthBytes } = await readLocated(store, location, { ...range, signal });
  if (flags.json) {
    await stream.pipeTo(new WritableStream(), { signal });
    const { mpackKey, contentOffset, sizeBytes } = location;
    console.log(JSON.stringify({
      object_id: objectId,
      size_bytes: sizeBytes,
      mpack_key: mpackKey,
      content_offset: contentOffset,
      offset_bytes: offsetBytes,
      length_bytes: lengthBytes,
    }));
    return;
  }
  try {
    await stream.pipeTo(Deno.stdout.writable, { preventClose: true, signal });
  } catch (error) {
    // Whoever reads our output has had enough, as `head` does.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
