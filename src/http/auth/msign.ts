/**
 * MSign, the signature scheme of MuseHub's clients: an `Authorization` field with a handle, a time and
 * an Ed25519 signature. It has no nonce, so two equal requests of one second are one signature.
 *
 * @module
 */

import { SignatureError } from "./signature_base.ts";

/** How far the signer's clock may be off, either way. Clients expect 30 s. */
const MSIGN_WINDOW_MS = 30_000;
const SIGNATURE_BYTES = 64;
const PARAMETERS = new Set(["handle", "ts", "sig", "alg"]);
const PARAMETER = /^[ ,]*([a-z]+)=(?:"([^"]*)"|([^",\s]+))/;

/** The parameters of one field, not verified yet. */
export interface ReadMsign {
  readonly handle: string;
  /** In seconds since 1970. */
  readonly seconds: number;
  readonly signature: Uint8Array<ArrayBuffer>;
  /** The later form names its algorithm, and signs the host. */
  readonly isHostBound: boolean;
}

/** What is signed of a request. */
export interface MsignMessage {
  readonly method: string;
  /** Host and port, as clients know them, without the scheme's own port. */
  readonly host: string;
  /** Path and query as they were sent, such as `/ada/one/refs`. */
  readonly target: string;
  /** Of the body, in hex; of nothing if there is none. */
  readonly bodySha256: string;
}

/** Whether an `Authorization` field is of this scheme. */
export function isMsign(authorization: string): boolean {
  return /^MSign(\s|$)/i.test(authorization);
}

/**
 * Reads a field.
 *
 * @throws {SignatureError} If it is malformed.
 */
export function readMsign(authorization: string): ReadMsign {
  const found = new Map<string, string>();
  let rest = authorization.slice("MSign".length).trim();
  while (rest !== "") {
    const [text, name, quoted, bare] = PARAMETER.exec(rest) ?? [];
    if (text === undefined || !PARAMETERS.has(name) || found.has(name)) {
      throw new SignatureError("Authorization: MSign takes handle, ts, sig and alg, each once");
    }
    found.set(name, quoted ?? bare);
    rest = rest.slice(text.length).trimStart();
  }
  const handle = found.get("handle") ?? "", ts = found.get("ts") ?? "", alg = found.get("alg");
  if (handle === "") throw new SignatureError("MSign names no handle");
  if (!/^\d{1,12}$/.test(ts)) throw new SignatureError("MSign has no time (ts)");
  if (alg !== undefined && alg !== "ed25519") throw new SignatureError("MSign: alg is not ed25519");
  return {
    handle,
    seconds: Number(ts),
    signature: bytesOf(found.get("sig") ?? ""),
    isHostBound: alg !== undefined,
  };
}

/** Makes the text that is signed. */
export function msignBase(read: Pick<ReadMsign, "seconds" | "isHostBound">, message: MsignMessage) {
  const { method, host, target, bodySha256 } = message, { seconds, isHostBound } = read;
  const lines = isHostBound
    ? ["ed25519", method, host.toLowerCase(), target, seconds, `sha256:${bodySha256}`]
    : [method, target, seconds, bodySha256];
  return lines.join("\n");
}

/**
 * Checks the time.
 *
 * @returns When the signature expires, in milliseconds since 1970.
 * @throws {SignatureError} If it is too old, or from the future.
 */
export function checkMsignTime({ seconds }: Pick<ReadMsign, "seconds">, nowMs: number): number {
  const offMs = seconds * 1000 - nowMs;
  if (Math.abs(offMs) <= MSIGN_WINDOW_MS) return seconds * 1000 + MSIGN_WINDOW_MS;
  const off = `${Math.round(Math.abs(offMs) / 1000)} s ${offMs < 0 ? "old" : "ahead"}`;
  throw new SignatureError(`MSign: its time is ${off}, ${MSIGN_WINDOW_MS / 1000} s are allowed`);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  try {
    const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
    if (bytes.length === SIGNATURE_BYTES) return bytes;
  } catch {
    // Malformed, as below.
  }
  throw new SignatureError("MSign: sig is not 64 bytes as base64url");
}
