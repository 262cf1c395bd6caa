/**
 * Where a webhook may send: the URL when it is added, and the addresses of its host before each
 * connection.
 *
 * @module
 */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";
import { type AddressSet, isPublicAddress } from "../../lib/addresses.ts";

const MAX_URL_CHARACTERS = 2_000;

/** An address of a host, as the resolver gave it. */
export interface Address {
  readonly address: string;
  readonly family: number;
}

/** Finds the addresses of a host. */
export type Resolve = (host: string) => Promise<readonly Address[]>;

/** Which addresses may be reached. */
export interface ReceiverRules {
  /** Addresses besides those of the public internet. `http:` is for these alone. */
  readonly allowed: AddressSet;
  /** Default: the system's resolver. */
  readonly resolve?: Resolve;
}

/** The connection must not be made: its address is not one to send to. */
class ForbiddenReceiverError extends Error {}

/**
 * Checks the URL of a new webhook. What its host resolves to is checked before each connection.
 *
 * @throws {ConfigError} If nothing can be sent there.
 */
export function parseReceiver(text: string, { allowed }: ReceiverRules): URL {
  const refuse = (why: string) => new ConfigError(`Cannot send a webhook to that URL: ${why}`);
  if (text.length > MAX_URL_CHARACTERS) {
    throw refuse(`it has ${text.length} characters, ${MAX_URL_CHARACTERS} is the most`);
  }
  if (!URL.canParse(text)) throw refuse("it is no URL");
  const url = new URL(text), host = hostOf(url);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw refuse(`its scheme is ${url.protocol} and not https:`);
  }
  if (url.username !== "" || url.password !== "") throw refuse("it has a user or a password");
  if (url.hash !== "") throw refuse("it has a fragment");
  if (url.protocol === "http:" && allowed.isEmpty) throw refuse("it is http: and not https:");
  if (isIP(host) !== 0 && !mayReach(host, url, allowed)) throw refuse(forbidden(host));
  return url;
}

/**
 * Finds the addresses to connect to. The connection must go to one of these and not resolve again:
 * a name may be answered with another address each time (DNS rebinding).
 *
 * @throws {ForbiddenReceiverError} If any of them may not be reached.
 */
export async function findAddresses(
  url: URL,
  { allowed, resolve = resolveHost }: ReceiverRules,
): Promise<readonly Address[]> {
  const host = hostOf(url), family = isIP(host);
  const addresses = family !== 0 ? [{ address: host, family }] : await resolve(host);
  const bad = addresses.find(({ address }) => !mayReach(address, url, allowed));
  if (bad !== undefined) throw new ForbiddenReceiverError(forbidden(bad.address));
  return addresses;
}

/** The host of a URL; an IPv6 address without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function mayReach(address: string, { protocol }: URL, allowed: AddressSet): boolean {
  return allowed.has(address) || protocol === "https:" && isPublicAddress(address);
}

function forbidden(address: string): string {
  return isPublicAddress(address)
    ? `${address} may be reached by https: only, unless MPACK_WEBHOOK_ALLOW has it`
    : `${address} is not an address of the public internet, and MPACK_WEBHOOK_ALLOW does not have it`;
}

async function resolveHost(host: string): Promise<readonly Address[]> {
  return await lookup(host, { all: true });
}
