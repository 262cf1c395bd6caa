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

/**
 * What is no receiver of the public internet: this host, private and shared networks, link-local
 * (there clouds keep their metadata), tests, multicast, and addresses with an IPv4 one inside.
 *
 * @see {@link https://www.iana.org/assignments/iana-ipv4-special-registry | IANA, IPv4}
 * @see {@link https://www.iana.org/assignments/iana-ipv6-special-registry | IANA, IPv6}
 */
const NOT_PUBLIC = once(() =>
  parseAddresses(
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, " +
      "192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24, 192.168.0.0/16, 198.18.0.0/15, 198.51.100.0/24, " +
      "203.0.113.0/24, 224.0.0.0/3, 2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20",
  )
);
/** All that is given to hosts of the internet so far. */
const GLOBAL_IPV6 = once(() => parseAddresses("2000::/3"));

/** Whether an address is one of the public internet. */
export function isPublicAddress(address: string): boolean {
  const isKnown = familyOf(address) === "ipv4" ? isIP(address) === 4 : GLOBAL_IPV6().has(address);
  return isKnown && !NOT_PUBLIC().has(address);
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return address.includes(":") ? "ipv6" : "ipv4";
}

/** Makes a value at its first use: every command loads this module, and few ask it. */
function once<Value>(make: () => Value): () => Value {
  let value: Value | undefined;
  return () => value ??= make();
}
