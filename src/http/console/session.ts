/**
 * Sessions of the console: a cookie that holds a token, sealed with a key that only servers of this
 * database have. The token is checked at each request, so a revoked one ends the session at once.
 *
 * @module
 */

import { createHmac } from "node:crypto";

/** The cookie's name. */
export const SESSION_COOKIE = "mpackd_session";
/** How long a session lasts, in seconds. */
export const SESSION_SECONDS = 12 * 60 * 60;
/** The length that AES-GCM is made for. */
const IV_BYTES = 12;
const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;

/** Seals and opens sessions. */
export class Sessions {
  readonly #key: Promise<CryptoKey>;

  /** Takes the key from a secret that all servers share. */
  constructor(secret: Uint8Array) {
    const bytes = new Uint8Array(createHmac("sha256", secret).update("console sessions").digest());
    this.#key = crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
  }

  /** Makes the cookie's value. */
  async seal(token: string): Promise<string> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const expiresAt = Date.now() + SESSION_SECONDS * 1000;
    const text = new TextEncoder().encode(JSON.stringify({ token, expiresAt }));
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await this.#key, text);
    return [iv, new Uint8Array(sealed)].map((part) => part.toBase64(BASE64URL)).join(".");
  }

  /** The token in a cookie; undefined if it is not ours or has expired. */
  async open(cookie: string | undefined): Promise<string | undefined> {
    const [iv, sealed, ...rest] = cookie?.split(".") ?? [];
    if (iv === undefined || sealed === undefined || rest.length > 0) return undefined;
    try {
      const opened = await crypto.subtle.decrypt(
        { name: "AES-GCM", iv: Uint8Array.fromBase64(iv, BASE64URL) },
        await this.#key,
        Uint8Array.fromBase64(sealed, BASE64URL),
      );
      const { token, expiresAt } = JSON.parse(new TextDecoder().decode(opened));
      return typeof token === "string" && expiresAt > Date.now() ? token : undefined;
    } catch {
      return undefined;
    }
  }
}
