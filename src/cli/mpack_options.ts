/**
 * The arguments and options of the commands that take mpacks to a repo: index and enqueue.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError } from "../errors.ts";
import { branchNameFault } from "../jobs/history/branch_name.ts";
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
  readonly force?: boolean;
  readonly branches?: boolean;
  readonly declaredObjects?: string;
  readonly materialize?: boolean;
  readonly dryRun?: boolean;
}

/** Adds the arguments and the options. */
export function withMpackOptions(command: Command): Command {
  return command
    .argument(
      "<sources...>",
      "sha256:<64 hex digits> or how a key begins, s3://bucket/key, a file, or - for stdin",
    )
    .requiredOption("--repo <owner/slug>", "the repo that gets the objects")
    .option("--create", "create the repo if it does not exist (the default without DATABASE_URL)")
    .option("--expect <key>", "reject the source unless it has this mpack key")
    .option("--upload", "write the blob even if the store has one of this key and size")
    .option("--branch <name>", "move this branch to the last commit of the mpack, if it may")
    .option("--head <commit_id>", "move the branch to this commit instead")
    .option("--force", "move the branch even if it loses commits")
    .option("--declared-objects <count>", "reject the mpack unless it has this many objects")
    .option("--dry-run", "read the sources and say what would happen, and change nothing")
    .option("--materialize", "also store every object as a blob (see MPACK_OBJECT_KEY)");
}

/**
 * Refuses options that are about one mpack where several are given.
 *
 * @throws {ConfigError} If there are several sources, and one of these options.
 */
export function checkSources(sources: readonly string[], flags: MpackFlags): void {
  if (sources.length === 1) return;
  const { expect, head, declaredObjects } = flags;
  const given = { "--expect": expect, "--head": head, "--declared-objects": declaredObjects };
  for (const [flag, value] of Object.entries(given)) {
    if (value === undefined) continue;
    throw new ConfigError(`Cannot use ${flag} with ${sources.length} sources: it is about one`);
  }
}

/**
 * The job payload that the options ask for.
 *
 * @throws {ConfigError} If an option has a wrong value.
 */
export function indexPayload(flags: MpackFlags): Omit<IndexPayload, "mpack_key"> {
  const { expect, branch, head, force, declaredObjects, materialize } = flags;
  if (expect !== undefined && !isMpackKey(expect)) {
    throw new ConfigError(`Cannot use --expect ${expect}: it is not sha256:<64 hex digits>`);
  }
  const fault = branch === undefined ? undefined : branchNameFault(branch);
  if (fault !== undefined) {
    throw new ConfigError(`Cannot use --branch ${JSON.stringify(branch)}: ${fault}`);
  }
  if (branch === undefined && (head !== undefined || force && !flags.branches)) {
    throw new ConfigError("Cannot use --head or --force without --branch");
  }
  return {
    ...(branch === undefined ? {} : { branch }),
    ...(head === undefined ? {} : { head }),
    ...(force ? { force } : {}),
    ...(declaredObjects === undefined
      ? {}
      : { declared_objects_count: parseCount("--declared-objects", declaredObjects) }),
    ...(materialize ? { materialize: true } : {}),
  };
}
