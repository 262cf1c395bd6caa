/**
 * Finds the repo that a command names, and opens the database that has its rows.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import { findRepo, parseRepoName, type Repo, resolveRepo } from "../../db/repos.ts";
import type { OpenedDatabase } from "../resources.ts";

/** A repo, its id, and its database, with the store if that is open. */
type OpenedRepo<Opened extends OpenedDatabase> =
  & { readonly repo: Repo; readonly repoId: string }
  & Awaited<ReturnType<Opened["at"]>>;

/**
 * Opens the repo of a name.
 *
 * @throws {ConfigError} `repo-not-found`, or if it is no name.
 */
export async function openRepo<Opened extends OpenedDatabase>(
  opened: Opened,
  text: string,
): Promise<OpenedRepo<Opened>> {
  return await openFound(opened, await resolveRepo(opened.db, parseRepoName(text)));
}

/** The same for a command that writes to the repo, which is created if `create` is set. */
export async function openRepoToWrite<Opened extends OpenedDatabase>(
  opened: Opened,
  text: string,
  { create, config }: { readonly create: boolean; readonly config: Config },
): Promise<OpenedRepo<Opened>> {
  const { db, shards } = opened, name = parseRepoName(text);
  const found = create ? await findRepo(db, name) : await resolveRepo(db, name);
  if (found !== undefined && found.home === undefined) return await openFound(opened, found);
  // Loaded here, because most repos are there, and have no copy in a shard.
  const { createPlacedRepo, ensureCopy } = await import("../../db/shards/create_repo.ts");
  const defaults = quotaDefaultsOf(config);
  const repo = found ?? (await createPlacedRepo(shards, name, { defaults })).repo;
  await ensureCopy(shards, repo);
  return await openFound(opened, repo);
}

async function openFound<Opened extends OpenedDatabase>(
  opened: Opened,
  repo: Repo,
): Promise<OpenedRepo<Opened>> {
  const place = await opened.at(repo.home) as Awaited<ReturnType<Opened["at"]>>;
  return { ...place, repo, repoId: repo.repoId };
}
