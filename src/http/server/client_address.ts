/**
 * Finds a client's address behind configured proxies.
 *
 * @module
 */

import { isIP } from "node:net";
import { type AddressSet, plainAddress } from "../../lib/addresses.ts";
import type { Peer } from "./connection.ts";

/** The field in which the proxies name their clients. */
type ForwardedField = "x-forwarded-for" | "forwarded";

/**
 * Replaces a proxy's address by the client's: the last entry of `field` that is no configured proxy.
 * The field counts only if the connection comes from one; strangers may send it.
 */
export function behindProxies(
  peer: Peer,
  headers: Headers,
  { proxies, field }: { readonly proxies: AddressSet; readonly field: ForwardedField },
): Peer {
  if (proxies.isEmpty || !proxies.has(peer.address)) return peer;
  const entries = entriesOf(headers.get(field) ?? "", field);
  const address = entries.findLast((entry) => !proxies.has(entry));
  if (address === undefined || isIP(address) === 0) return peer;
  return {
    address,
    authorities: peer.authorities,
    hold: () => peer.hold(),
    close: () => peer.close(),
  };
}

/** @see {@link https://www.rfc-editor.org/rfc/rfc7239 | RFC 7239: Forwarded} */
function entriesOf(value: string, field: ForwardedField): string[] {
  const nodes = value.split(",").map((element) => {
    if (field === "x-forwarded-for") return element.trim();
    const [, node = ""] = /(?:^|;)\s*for=("[^"]*"|[^";]*)/i.exec(element) ?? [];
    return node.replaceAll('"', "").trim();
  });
  // With a port: "192.0.2.1:4711" and "[2001:db8::1]:4711".
  return nodes.map((node) =>
    plainAddress(node.replace(/^\[([^\]]*)\](:\d+)?$/, "$1").replace(/^([\d.]+):\d+$/, "$1"))
  );
}
