/**
 * Finds a client's address behind configured proxies.
 *
 * @module
 */

import { isIP } from "node:net";
import type { Peer } from "./connection.ts";

/** Reads a list of addresses, such as `10.0.0.1, 10.0.0.2`. */
export function parseProxies(list: string | undefined): ReadonlySet<string> {
  return new Set(list?.split(",").map((address) => address.trim()).filter(Boolean));
}

/**
 * Replaces a proxy's address by the client's: the last entry of `X-Forwarded-For` that is no
 * configured proxy. The field counts only if the connection comes from one; strangers may send it.
 */
export function behindProxies(
  peer: Peer,
  headers: Headers,
  proxies: ReadonlySet<string>,
): Peer {
  if (!proxies.has(peer.address)) return peer;
  const entries = headers.get("x-forwarded-for")?.split(",").map((entry) => entry.trim()) ?? [];
  const address = entries.findLast((entry) => !proxies.has(entry));
  if (address === undefined || isIP(address) === 0) return peer;
  return { address, authorities: peer.authorities, close: () => peer.close() };
}
