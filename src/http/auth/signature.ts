/**
 * Signs requests, and reads and checks their signatures.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9421 | RFC 9421}
 * @module
 */

import {
  type InnerList,
  isInnerList,
  parseDictionary,
  serializeDictionary,
} from "structured-headers";
import { signatureBase, SignatureError, type SignedMessage } from "./signature_base.ts";

/** The components that each signature must cover; with a body, `content-digest`, too. */
const REQUIRED_COMPONENTS = ["@method", "@authority", "@path", "@query"] as const;

const PARAMETERS = new Set(["created", "expires", "nonce", "alg", "keyid", "tag"]);
const LABEL = "sig";
const IDENTITY_ID = /^sha256:[0-9a-f]{64}$/;

type Dictionary = ReturnType<typeof parseDictionary>;
const NONCE_BYTES = 16;

/** A signature as it was sent, not verified yet. */
export interface ReadSignature {
  /** The identity id it claims. */
  readonly keyId: string;
  readonly signature: Uint8Array<ArrayBuffer>;
  /** The text that is signed. */
  readonly base: string;
  /** The names of the covered components. */
  readonly covers: ReadonlySet<string>;
  /** In seconds since 1970. */
  readonly created: number;
  /** In seconds since 1970. */
  readonly expires?: number;
}

/**
 * Reads the signature of a message. If there are several (a proxy may add its own), the one whose
 * keyid has the form of an identity id.
 *
 * @returns Undefined if the message has none.
 * @throws {SignatureError} If several are of identities, or the one is malformed.
 */
export function readSignature(message: SignedMessage): ReadSignature | undefined {
  const inputText = message.headers.get("signature-input");
  const signatureText = message.headers.get("signature");
  if (inputText === null && signatureText === null) return undefined;
  if (inputText === null || signatureText === null) {
    throw new SignatureError("Signature and Signature-Input must come together");
  }
  const inputs = parseField(inputText, "Signature-Input");
  const signatures = parseField(signatureText, "Signature");
  const label = inputs.size === 1 ? [...inputs.keys()][0] : labelOfIdentity(inputs);
  if (label === undefined) return undefined;
  const input = inputs.get(label)!, value = signatures.get(label);
  if (value === undefined) throw new SignatureError("the two fields name two signatures");
  if (!isInnerList(input)) throw new SignatureError("Signature-Input is not a list");
  const [bytes] = value;
  if (!(bytes instanceof ArrayBuffer)) throw new SignatureError("Signature holds no bytes");
  const base = signatureBase(message, input);
  const [components, parameters] = input;
  for (const name of parameters.keys()) {
    if (!PARAMETERS.has(name)) throw new SignatureError(`the parameter "${name}" is unknown`);
  }
  const alg = parameters.get("alg") ?? "ed25519";
  if (alg !== "ed25519") throw new SignatureError("its algorithm is not ed25519");
  const keyId = parameters.get("keyid");
  if (typeof keyId !== "string") throw new SignatureError("it has no keyid");
  const created = parameters.get("created"), expires = parameters.get("expires");
  if (!Number.isInteger(created)) throw new SignatureError("it has no creation time");
  if (expires !== undefined && !Number.isInteger(expires)) {
    throw new SignatureError("its expiry is not a time");
  }
  return {
    keyId,
    signature: new Uint8Array(bytes),
    base,
    covers: new Set(components.map(([name]) => name as string)),
    created: created as number,
    ...(expires === undefined ? {} : { expires: expires as number }),
  };
}

function parseField(text: string, field: string): Dictionary {
  try {
    const members = parseDictionary(text);
    if (members.size > 0) return members;
  } catch {
    // Malformed, as below.
  }
  throw new SignatureError(`${field} is malformed`);
}

function labelOfIdentity(inputs: Dictionary): string | undefined {
  const labels = [...inputs].flatMap(([label, [, parameters]]) => {
    const keyId = parameters.get("keyid");
    return typeof keyId === "string" && IDENTITY_ID.test(keyId) ? [label] : [];
  });
  if (labels.length <= 1) return labels[0];
  throw new SignatureError(`it has ${labels.length} signatures of identities, 1 is expected`);
}

export interface SignatureWindow {
  /** In milliseconds since 1970. */
  readonly nowMs: number;
  /** Oldest signature accepted, in milliseconds. */
  readonly maxAgeMs: number;
  /** How far the signer's clock may be ahead, in milliseconds. */
  readonly skewMs: number;
}

/**
 * Checks a signature's time and what it covers.
 *
 * @returns When it expires, in milliseconds since 1970.
 * @throws {SignatureError} If it is too old, from the future, or covers too little.
 */
export function checkSignature(read: ReadSignature, window: SignatureWindow): number {
  for (const name of REQUIRED_COMPONENTS) {
    if (!read.covers.has(name)) throw new SignatureError(`it does not cover "${name}"`);
  }
  const { nowMs, maxAgeMs, skewMs } = window;
  const createdMs = read.created * 1000;
  if (createdMs > nowMs + skewMs) throw new SignatureError("it was created in the future");
  if (createdMs < nowMs - maxAgeMs) {
    throw new SignatureError(`it is older than ${maxAgeMs / 1000} s`);
  }
  if (read.expires !== undefined && read.expires * 1000 <= nowMs) {
    throw new SignatureError("it has expired");
  }
  return createdMs + maxAgeMs;
}

/** A private key and its identity. */
export interface Signer {
  readonly keyId: string;
  readonly privateKey: CryptoKey;
}

/**
 * Signs a request.
 *
 * @param message As it will be sent; a body's `content-digest` must be among the headers.
 * @returns The two headers to add.
 */
export async function signRequest(
  message: SignedMessage,
  { keyId, privateKey }: Signer,
  { nowMs = Date.now(), lifetimeMs = 60_000 }: {
    readonly nowMs?: number;
    readonly lifetimeMs?: number;
  } = {},
): Promise<{ "signature-input": string; signature: string }> {
  const created = Math.floor(nowMs / 1000);
  const covered = [
    ...REQUIRED_COMPONENTS,
    ...(message.headers.has("content-digest") ? ["content-digest"] : []),
  ];
  const parameters = new Map<string, string | number>([
    ["created", created],
    ["expires", created + Math.ceil(lifetimeMs / 1000)],
    // Each signature is accepted once: two equal requests in one second must differ.
    ["nonce", crypto.getRandomValues(new Uint8Array(NONCE_BYTES)).toBase64()],
    ["keyid", keyId],
  ]);
  const input: InnerList = [covered.map((name) => [name, new Map()]), parameters];
  const base = new TextEncoder().encode(signatureBase(message, input));
  const signature = await crypto.subtle.sign("Ed25519", privateKey, base);
  return {
    "signature-input": serializeDictionary(new Map([[LABEL, input]])),
    signature: serializeDictionary(new Map([[LABEL, [signature, new Map()]]])),
  };
}
