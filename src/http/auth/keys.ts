/**
 * Ed25519 keys in files, and the identities they are.
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
import type { Signer } from "./signature.ts";

const KEY_BYTES = 32;
const PRIVATE_MODE = 0o600;

/** The id of who holds this key: `sha256:` and the hex digest of the 32 raw bytes. */
export function identityIdOf(publicKey: Uint8Array): string {
  return `sha256:${sha256Hex(publicKey)}`;
}

/** Makes a new private key and writes it to a file that only its owner may read, as PKCS #8 PEM. */
export async function writeNewKey(path: string): Promise<void> {
  const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  await Deno.writeTextFile(path, String(pem), { createNew: true, mode: PRIVATE_MODE });
}

/**
 * Reads the raw public key out of a PEM file: a public key, or the private one it belongs to.
 *
 * @throws {ConfigError} If it is no Ed25519 key.
 */
export async function readPublicKey(path: string): Promise<Uint8Array> {
  const pem = await readPem(path);
  return rawPublicKey(parse(path, () => createPublicKey(pem)));
}

/**
 * Reads what signs requests out of a PEM file (PKCS #8, as `openssl genpkey -algorithm ed25519`
 * writes it).
 *
 * @throws {ConfigError} If it is no Ed25519 private key.
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

/** A raw public key as something that verifies. */
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
    // What the parser says may quote the file.
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new ConfigError(`Cannot use the key "${path}": it is no Ed25519 key in PEM`);
}

function rawPublicKey(key: KeyObject): Uint8Array {
  // The SPKI form of an Ed25519 key ends with the raw one (RFC 8410, section 4).
  return new Uint8Array(key.export({ type: "spki", format: "der" })).slice(-KEY_BYTES);
}
