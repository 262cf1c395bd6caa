/**
 * IP addresses and ranges of them.
 *
 * @module
 */

import { BlockList, isIP } from "node:net";

/** Addresses and ranges. */
export interface AddressSet {
  /** Whether there is none. */
  readonly isEmpty: boolean;
  has(address: string): boolean;
}

/** Tells what is wrong with an address or a range of them (`10.0.0.0/8`); undefined if nothing. */
export function checkRange(range: string): string | undefined {
  const [address, prefix, ...rest] = range.split("/"), family = isIP(address);
  const isFine = family !== 0 && rest.length === 0 &&
    (prefix === undefined ||
      /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32));
  return isFine ? undefined : `"${range}" is neither an IP address nor a range like 10.0.0.0/8`;
}

/** Reads a list of addresses and ranges, such as `10.0.0.1, 10.1.0.0/16`. */
export function parseAddresses(list: string | undefined): AddressSet {
  const ranges = list?.split(",").map((range) => range.trim()).filter(Boolean) ?? [];
  const blocks = new BlockList();
  for (const range of ranges) {
    const [address, prefix] = range.split("/"), family = familyOf(address);
    if (prefix === undefined) blocks.addAddress(address, family);
    else blocks.addSubnet(address, Number(prefix), family);
  }
  return {
    isEmpty: ranges.length === 0,
    has: (address) => isIP(address) !== 0 && blocks.check(address, familyOf(address)),
  };
}

/**
 * What limits count for an address: itself, or the network of an IPv6 address, because one client
 * has 2^64 of those.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6177 | RFC 6177: a site gets a /64 or more}
 */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head, tail] = address.split("%")[0].split("::");
  const groups = head === "" ? [] : head.split(":");
  const rest = tail ? tail.split(":") : [];
  // "::" stands for as many zeros as are missing of eight groups.
  const all = tail === undefined
    ? groups
    : [...groups, ...Array(Math.max(0, 8 - groups.length - rest.length)).fill("0"), ...rest];
  return `${all.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(":")}::/64`;
}

/** An IPv4 address that a socket for IPv6 shows as `::ffff:192.0.2.1`. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return address.includes(":") ? "ipv6" : "ipv4";
}
