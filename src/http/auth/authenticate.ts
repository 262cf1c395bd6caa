/**
 * Who asks: a signature, a bearer token, or nobody.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { admitSignature, findIdentity, hasIdentities, type Identity } from "../../db/identities.ts";
import { findToken } from "../../db/tokens.ts";
import { sha256Hex } from "../../lib/digest.ts";
import { HttpProblem } from "../problem.ts";
import { importPublicKey } from "./keys.ts";
import { checkSignature, readSignature } from "./signature.ts";
import { SignatureError } from "./signature_base.ts";
import { isSecret, parseToken, type Scope, SCOPES } from "./token.ts";

const SKEW_MS = 60_000;
const MAX_KEYS = 10_000;
/** How long the answer "nobody has an identity" is believed. */
const OPEN_MS = 1_000;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Who sent a request. */
export interface Caller {
  /** The identity; undefined for anonymous requests and while nobody has any. */
  readonly identity: Identity | undefined;
  /** Whether every repo is open to it. */
  readonly isAdmin: boolean;
  /** What it may do at all. */
  readonly scopes: ReadonlySet<Scope>;
  /** What limits are counted by. */
  readonly client: string;
  /** Whether the body must have a digest that the signature covers. */
  readonly needsDigest: boolean;
}

/** The caller of a request that says nothing of who sent it. */
export function anybody(address: string): Caller {
  return {
    identity: undefined,
    isAdmin: false,
    scopes: new Set<Scope>(["read"]),
    client: `address ${address}`,
    needsDigest: false,
  };
}

/** How to find out who asks. */
export interface AuthenticatorOptions {
  /** The database with the identities. */
  readonly db: Database;
  /** How old a signature may be, in milliseconds. */
  readonly signatureMs: number;
  /** How clients reach the server, if not by the host they name. */
  readonly publicUrl?: string;
}

/** Finds out who asks. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  /** Public keys by identity id, which is their digest: they cannot change. */
  readonly #keys = new Map<string, CryptoKey>();
  #openUntilMs = 0;

  /** Asks nobody yet. */
  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /**
   * Who sent this request.
   *
   * @throws {HttpProblem} 401 if it carries credentials that do not count.
   */
  async identify(request: Request, address: string): Promise<Caller> {
    const authorization = request.headers.get("authorization");
    if (authorization !== null) return await this.#byToken(authorization);
    const signed = await this.#bySignature(request);
    if (signed !== undefined) return signed;
    if (!await this.#isOpen()) return anybody(address);
    checkLocal(request);
    return { ...anybody(address), isAdmin: true, scopes: new Set(SCOPES) };
  }

  async #byToken(authorization: string): Promise<Caller> {
    const [, text = ""] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    const parsed = parseToken(text);
    const found = parsed && await findToken(this.#options.db, parsed.tokenId);
    if (!parsed || !found || !isSecret(parsed.secret, found.secretHash)) {
      throw unauthenticated("the bearer token is unknown, expired or revoked");
    }
    const scopes = new Set(found.scopes as Scope[]), { identity } = found;
    return {
      identity,
      isAdmin: identity.isAdmin && scopes.has("admin"),
      scopes,
      client: identity.identityId,
      needsDigest: false,
    };
  }

  async #bySignature(request: Request): Promise<Caller | undefined> {
    const { db, publicUrl, signatureMs: maxAgeMs } = this.#options;
    const url = new URL(request.url);
    if (publicUrl !== undefined) {
      // Setting `host` would keep our own port where the public URL has none.
      const { hostname, port } = new URL(publicUrl);
      url.hostname = hostname;
      url.port = port;
    }
    try {
      const { method, headers } = request;
      const read = readSignature({ method, url, headers });
      if (read === undefined) return undefined;
      if (headers.has("content-digest") && !read.covers.has("content-digest")) {
        throw new SignatureError('it does not cover "content-digest"');
      }
      const window = { nowMs: Date.now(), maxAgeMs, skewMs: SKEW_MS };
      const expiresAtMs = checkSignature(read, window);
      const key = await this.#keyOf(read.keyId);
      const base = new TextEncoder().encode(read.base);
      if (!key || !await crypto.subtle.verify("Ed25519", key, read.signature, base)) {
        throw new SignatureError("it is not by a known identity");
      }
      const admitted = await admitSignature(db, {
        identityId: read.keyId,
        signatureHash: sha256Hex(`${read.keyId}\n${read.base}`),
        expiresAt: new Date(expiresAtMs + SKEW_MS),
      });
      // Revoked since its key was learnt: the same words, so that nobody learns which.
      if (admitted === undefined) throw new SignatureError("it is not by a known identity");
      if (!admitted.isFresh) throw new SignatureError("it was used before");
      const { identity } = admitted;
      return {
        identity,
        isAdmin: identity.isAdmin,
        scopes: new Set(SCOPES),
        client: identity.identityId,
        needsDigest: true,
      };
    } catch (error) {
      if (error instanceof SignatureError) throw unauthenticated(`signature: ${error.message}`);
      throw error;
    }
  }

  async #keyOf(identityId: string): Promise<CryptoKey | undefined> {
    const known = this.#keys.get(identityId);
    if (known !== undefined) return known;
    const identity = await findIdentity(this.#options.db, identityId);
    if (identity === undefined || identity.revokedAt !== null) return undefined;
    const key = await importPublicKey(Uint8Array.fromBase64(identity.publicKey));
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
    this.#keys.set(identityId, key);
    return key;
  }

  async #isOpen(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs < this.#openUntilMs) return true;
    if (this.#openUntilMs < 0) return false;
    // Once there is an identity there is one for ever: revoked ones are kept.
    const isOpen = !await hasIdentities(this.#options.db);
    this.#openUntilMs = isOpen ? nowMs + OPEN_MS : -1;
    return isOpen;
  }
}

/** While everybody is an admin, no web page may be one by giving our address a name of its own. */
function checkLocal(request: Request): void {
  const { host } = new URL(request.url);
  if (LOOPBACK.test(host)) return;
  throw unauthenticated(`there are no identities, and ${JSON.stringify(host)} is not this machine`);
}

function unauthenticated(why: string): HttpProblem {
  return new HttpProblem(401, "unauthenticated", `Cannot tell who asks: ${why}`);
}
