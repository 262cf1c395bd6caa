/**
 * Open mode (`serve --open`): until an identity exists, one random token is an admin's, for local
 * requests only.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { Database } from "../../db/client/database.ts";
import { hasIdentities } from "../../db/identities.ts";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?|(::ffff:)127(\.\d{1,3}){3})$/i;
/** A proxy in front adds at least one of these, unless it is configured not to. */
const FORWARDED = /^(forwarded|via|x-forwarded.*|x-real-ip|x-client-ip|cf-connecting-ip)$/;

/**
 * Checks that open mode may start.
 *
 * @throws {ConfigError} If an identity exists, or others could reach the address.
 */
export async function checkOpenMode(db: Database, hostname: string): Promise<void> {
  if (!LOOPBACK.test(hostname)) {
    throw new ConfigError(
      `Cannot open the server on ${hostname}: --open works on a loopback address only; ` +
        `run "mpackd identity create" first, or listen on 127.0.0.1`,
    );
  }
  if (!await hasIdentities(db)) return;
  throw new ConfigError(
    "Cannot open the server: an identity exists; sign in with it, without --open",
  );
}

/**
 * Tells why a request may not use the open token; undefined if it may.
 *
 * The Host must be a loopback one, which stops DNS rebinding. Proxies and pages of other origins
 * are refused even if they have the token.
 */
export function checkOpenRequest({ url, headers }: Request, address: string): string | undefined {
  const { hostname, origin } = new URL(url);
  if (!LOOPBACK.test(address) || !LOOPBACK.test(hostname)) {
    return `the open token is for this machine only, not for ${JSON.stringify(hostname)}`;
  }
  const proxied = [...headers.keys()].find((name) => FORWARDED.test(name));
  if (proxied !== undefined) return `the open token does not work through a proxy (${proxied})`;
  const site = headers.get("sec-fetch-site"), from = headers.get("origin");
  const isForeign = (site !== null && site !== "same-origin" && site !== "none") ||
    (from !== null && from !== origin);
  return isForeign ? "the open token does not work from a page of another origin" : undefined;
}
