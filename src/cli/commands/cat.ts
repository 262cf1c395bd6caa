/**
 * `mpackd cat OBJECT_ID --repo OWNER/SLUG`: writes one object to stdout.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError } from "../../errors.ts";
import { locateObject } from "../../objects/locate_object.ts";
import { readLocated } from "../../objects/read_object.ts";
import type { CommandContext } from "../command.ts";
import { parseBytes } from "../flags.ts";
import { objectIdOf } from "../named_ids.ts";
import { printJson, untilClosed, writeStdout } from "../output.ts";
import { openRepo } from "../shards/open_repo.ts";
import { openResources } from "../resources.ts";

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
      "Write one object's bytes to stdout. They are read through the repo's ref and checked " +
        "against the id. An object of up to 1 MiB is written only after the check; of a larger one " +
        "the last part is.",
    )
    .argument("<object_id>", "sha256:<64 hex digits>, only the digits, or how one begins")
    .requiredOption("--repo <owner/slug>", "the repo that has the object")
    .option("--offset <bytes>", "start at this byte of the object")
    .option("--length <bytes>", "write at most this many bytes")
    .option("--json", "check the object and print where it is stored, instead of its bytes")
    .action((objectId: string, flags: CatFlags) =>
      context.run(flags, (signal) => runCat(objectId, flags, context, signal))
    );
}

async function runCat(
  text: string,
  flags: CatFlags,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  const range = {
    offsetBytes: flags.offset === undefined ? undefined : parseBytes("--offset", flags.offset),
    lengthBytes: flags.length === undefined ? undefined : parseBytes("--length", flags.length),
  };
  await using resources = await openResources(context.config(), {
    isWriting: false,
    maxConnections: 1,
  });
  const { db, store, repoId } = await openRepo(resources, flags.repo);
  const objectId = await objectIdOf(db, repoId, text);
  const location = await locateObject({ db, repoId, objectId });
  const { maxContentBytes } = context.config();
  const content = await readLocated(store, location, { ...range, maxContentBytes, signal })
    .catch((error) => {
      throw error instanceof RangeError ? new ConfigError(error.message, { cause: error }) : error;
    });
  const { stream, sizeBytes, offsetBytes, lengthBytes } = content;
  if (!flags.json) {
    const stdout = new WritableStream({ write: writeStdout });
    return await untilClosed(() => stream.pipeTo(stdout, { signal }));
  }
  await stream.pipeTo(new WritableStream(), { signal });
  const { mpackKey, contentOffset, encoding } = location;
  await printJson({
    object_id: objectId,
    size_bytes: sizeBytes,
    mpack_key: mpackKey,
    content_offset: contentOffset,
    encoding,
    stored_bytes: location.sizeBytes,
    offset_bytes: offsetBytes,
    length_bytes: lengthBytes,
  });
}
