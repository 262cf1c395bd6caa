/**
 * The argument and options of the commands that take one mpack to a repo: index and enqueue.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError } from "../errors.ts";
import type { IndexPayload } from "../jobs/index/payload.ts";
import { isMpackKey } from "../lib/ids.ts";
import { parseCount } from "./flags.ts";

/** The options that index and enqueue share. */
export interface MpackFlags {
  readonly repo: string;
  readonly create?: boolean;
  readonly expect?: string;
  readonly upload?: boolean;
  readonly branch?: string;
  readonly head?: string;
  readonly declaredObjects?: string;
  readonly materialize?: boolean;
}

/** Adds the argument and the options. */
export function withMpackOptions(command: Command): Command {
  return command
    .argument("<source>", "sha256:<64 hex digits>, s3://bucket/key, a file, or - for stdin")
    .requiredOption("--repo <owner/slug>", "the repo that gets the objects")
    .option("--create", "create the repo if it does not exist (the default without DATABASE_URL)")
    .option("--expect <key>", "reject the source unless it has this mpack key")
    .option("--upload", "write the blob even if the store has one of this key and size")
    .option("--branch <name>", "recorded in the job's payload")
    .option("--head <commit_id>", "recorded in the job's payload")
    .option("--declared-objects <count>", "reject the mpack unless it has this many objects")
    .option("--materialize", "also store every object as a blob (see MPACK_OBJECT_KEY)");
}

/**
 * The job payload that the options ask for.
 *
 * @throws {ConfigError} If an option has a wrong value.
 */
export function indexPayload(flags: MpackFlags): Omit<IndexPayload, "mpack_key"> {
  const { expect, branch, head, declaredObjects, materialize } = flags;
  if (expect !== undefined && !isMpackKey(expect)) {
    throw new ConfigError(`Cannot use --expect ${expect}: it is not sha256:<64 hex digits>`);
  }
  return {
    ...(branch === undefined ? {} : { branch }),
    ...(head === undefined ? {} : { head }),
    ...(declaredObjects === undefined
      ? {}
      : { declared_objects_count: parseCount("--declared-objects", declaredObjects) }),
    ...(materialize ? { materialize: true } : {}),
  };
}
