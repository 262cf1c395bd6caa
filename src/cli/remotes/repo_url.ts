/**
 * The repo of a server that a user names.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { parseRepoName } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import { mostSimilar } from "../../lib/similar.ts";
import { readSaved, remoteUrl } from "./saved.ts";

/** A repo of a server. */
export interface RemoteRepo {
  /** The server's URL, without a slash at its end. */
  readonly server: string;
  /** OWNER/SLUG. */
  readonly repo: string;
  /** The repo's URL. */
  readonly url: string;
}

/** Whether a text is a URL and not the name of a saved remote. */
export function isUrl(text: string): boolean {
  return text.includes("://");
}

/**
 * The repo that a URL, or the name of a saved remote, stands for.
 *
 * @param repo OWNER/SLUG, if the URL is that of the server only.
 * @throws {ConfigError} If it is neither.
 */
export async function remoteRepo(
  text: string,
  repo: string | undefined,
  config: Config,
): Promise<RemoteRepo> {
  const url = isUrl(text) ? remoteUrl(text) : await savedRemote(text, config);
  if (repo !== undefined) {
    const { owner, slug } = parseRepoName(repo);
    // A saved remote names a repo, of which another one may be meant.
    const server = isUrl(text) ? url : splitUrl(url).server;
    return { server, repo: `${owner}/${slug}`, url: `${server}/${owner}/${slug}` };
  }
  return { ...splitUrl(url), url };
}

/**
 * Splits the URL of a repo.
 *
 * @throws {ConfigError} If its path does not end in OWNER/SLUG.
 */
export function splitUrl(url: string): { readonly server: string; readonly repo: string } {
  const [, server, repo] = /^(https?:\/\/[^/]+(?:\/.*?)?)\/([^/]+\/[^/]+)$/.exec(url) ?? [];
  if (repo === undefined) {
    throw new ConfigError(`Cannot tell the repo of ${url}: give --repo, or end it in OWNER/SLUG`);
  }
  parseRepoName(repo);
  return { server, repo };
}

async function savedRemote(name: string, config: Config): Promise<string> {
  const { remotes } = await readSaved(config);
  if (Object.hasOwn(remotes, name)) return remotes[name];
  const meant = mostSimilar(name, Object.keys(remotes));
  throw new ConfigError(
    `Cannot find the remote ${JSON.stringify(name)}: ` +
      (meant === undefined
        ? `it is neither a URL nor saved; mpackd remote add ${name} URL`
        : `did you mean ${meant}?`),
  );
}
