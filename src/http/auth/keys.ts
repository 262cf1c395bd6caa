/**
 * Ed25519 keys in files, and their identity ids.
 *
 * @module
 */

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { ConfigError } from "../../errors.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { withPrefix } from "../../lib/ids.ts";
import { isSafePublicKey } from "./ed25519_point.ts";
import type { Signer } from "./signature.ts";

const KEY_BYTES = 32;
const PRIVATE_MODE = 0o600;

/** The identity id of a key: `sha256:` and the hex digest of its 32 raw bytes. */
export function identityIdOf(publicKey: Uint8Array): string {
  return withPrefix(sha256Hex(publicKey));
}

/** Writes a new private key as PKCS #8 PEM to a file that only its owner may read. */
export async function writeNewKey(path: string): Promise<void> {
  const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  await Deno.writeTextFile(path, String(pem), { createNew: true, mode: PRIVATE_MODE });
}

/**
 * Reads the raw public key from a PEM file with a public or a private key.
 *
 * @throws {ConfigError} If the file has no Ed25519 key, or one that is not safe.
 */
export async function readPublicKey(path: string): Promise<Uint8Array> {
  return publicKeyOf(path, await readPem(path));
}

/**
 * The raw public key in a PEM text with a public or a private key; `path` names it in errors.
 *
 * @throws {ConfigError} If it has no Ed25519 key, or one that is not safe.
 */
export function publicKeyOf(path: string, pem: string): Uint8Array {
  const key = rawPublicKey(parse(path, () => createPublicKey(pem)));
  if (isSafePublicKey(key)) return key;
  throw new ConfigError(
    `Cannot use the key "${path}": it is malformed or of low order, so anybody could sign with it`,
  );
}

/**
 * Reads a private key from a PEM file (PKCS #8, as `openssl genpkey -algorithm ed25519` writes).
 *
 * @throws {ConfigError} If the file has no Ed25519 private key.
 */
export async function readSigner(path: string): Promise<Signer> {
  const pem = await readPem(path);
  const key = parse(path, () => createPrivateKey(pem));
  const publicKey = rawPublicKey(createPublicKey(pem));
  const der = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
  return {
    keyId: identityIdOf(publicKey),
    privateKey: await crypto.subtle.importKey("pkcs8", der, "Ed25519", false, ["sign"]),
  };
}

export async function importPublicKey(publicKey: Uint8Array): Promise<CryptoKey> {
  const raw = new Uint8Array(publicKey);
  return await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
}

async function readPem(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw new ConfigError(`Cannot read the key "${path}": ${(cause as Error).message}`, { cause });
  }
}

function parse(path: string, read: () => KeyObject): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = read();
  } catch {
    // The parser's message may quote the file.
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new ConfigError(`Cannot use the key "${path}": it is not an Ed25519 key in PEM`);
}

function rawPublicKey(key: KeyObject): Uint8Array {
  // The SPKI form of an Ed25519 key ends with the raw one (RFC 8410, section 4).
  return new Uint8Array(key.export({ type: "spki", format: "der" })).slice(-KEY_BYTES);
}
