/**
 * Finds the identity behind a request, by its signature or bearer token.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import {
  admitSignature,
  findHandle,
  findIdentity,
  hasIdentities,
  type Signer,
} from "../../db/identities.ts";
import { findToken, type LiveToken } from "../../db/tokens.ts";
import { type AskedPlace, type FoundPlace, TokenFinder } from "../../db/token_at_place.ts";
import { networkOf } from "../../lib/addresses.ts";
import { sha256Hex } from "../../lib/digest.ts";
import type { Peer } from "../server/connection.ts";
import { HttpProblem } from "../problem.ts";
import { isSafePublicKey } from "./ed25519_point.ts";
import type { GuessLimit } from "./guess_limit.ts";
import { importPublicKey } from "./keys.ts";
import { checkMsignTime, isMsign, msignBase, readMsign } from "./msign.ts";
import { checkSignature, readSignature } from "./signature.ts";
import { SignatureError } from "./signature_base.ts";
import { checkOpenRequest } from "./open_mode.ts";
import { isSameHash, isSecret, type MintedToken, parseToken, type Scope, SCOPES } from "./token.ts";

const SKEW_MS = 60_000;
const MAX_KEYS = 10_000;
/** How long to cache that no identity exists. */
const OPEN_MS = 1_000;

export interface Caller {
  /** Undefined for anonymous requests, and while no identity exists. */
  readonly identity: Signer | undefined;
  /** May read and push to every repo. */
  readonly isAdmin: boolean;
  readonly scopes: ReadonlySet<Scope>;
  /** The key for rate limits. */
  readonly client: string;
  /** The request is signed, so its body must have a signed digest. */
  readonly needsDigest: boolean;
  /** What the statement that found the caller found of the request's place; undefined for most. */
  readonly found?: FoundPlace;
  /** Tells whether the credentials still count: long requests ask again. */
  isValid(): Promise<boolean>;
}

/** The caller with the token of `serve --open`; its rate limit is not that of its address. */
const OPEN_ADMIN: Caller = {
  identity: undefined,
  isAdmin: true,
  scopes: new Set(SCOPES),
  client: "open token",
  needsDigest: false,
  isValid: () => Promise.resolve(true),
};

/** The caller of a request without credentials. */
export function anonymous(address: string): Caller {
  return {
    identity: undefined,
    isAdmin: false,
    scopes: new Set<Scope>(["read"]),
    client: `address ${networkOf(address)}`,
    needsDigest: false,
    isValid: () => Promise.resolve(true),
  };
}

export interface AuthenticatorOptions {
  readonly db: Database;
  /** Counts credentials that are not known to be valid, before they are looked up. */
  readonly guesses: GuessLimit;
  /** Oldest signature accepted, in milliseconds. */
  readonly signatureMs: number;
  /** The URL that clients use; without it they must use our own address. */
  readonly publicUrl?: string;
  /** The token that is an admin's until an identity exists (`serve --open`). */
  readonly openToken?: string;
}

/** Counts a request once its client is certain: before its token is looked up or its signature noted. */
export interface RequestLimit {
  /** Throws if the client has sent too many requests. */
  count(client: string): void;
  /** Called for a replay, which anyone may have sent, and for a token that was revoked. */
  uncount(client: string): void;
}

/** A request whose caller is asked for. */
export interface AskedRequest {
  readonly request: Request;
  readonly peer: Peer;
  readonly limit: RequestLimit;
  /** The repo and object that it names; one statement finds them with the token. */
  readonly place?: AskedPlace;
  /** The SHA-256 of its body in hex: of the bytes themselves, or as declared and checked later. */
  readonly bodyDigest: () => Promise<string>;
}

interface UnverifiedSignature {
  readonly keyId: string;
  readonly signature: Uint8Array<ArrayBuffer>;
  /** The text that is signed. */
  readonly base: string;
  readonly expiresAtMs: number;
}

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #tokens: TokenFinder;
  /** By identity id. An id is the digest of its key, so entries never change. */
  readonly #keys = new Map<string, CryptoKey>();
  #openUntilMs = 0;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#tokens = new TokenFinder(options.db);
  }

  /**
   * Finds the caller. `limit` counts signed requests, and those with a token that is known.
   *
   * @throws {HttpProblem} 401 if the request has credentials that are not accepted; 429 if the client
   * or its address has sent too many.
   */
  async identify(asked: AskedRequest): Promise<Caller> {
    const { request, peer } = asked, authorization = request.headers.get("authorization");
    try {
      if (authorization === null) return await this.#bySignature(asked) ?? anonymous(peer.address);
      if (isMsign(authorization)) return await this.#byMsign(authorization, asked);
    } catch (error) {
      // Malformed, so nothing was looked up.
      if (!(error instanceof SignatureError)) throw error;
      this.#options.guesses.count(networkOf(peer.address));
      throw refusedSignature(error);
    }
    return await this.#byKnownToken(authorization, asked);
  }

  async #byKnownToken(
    authorization: string,
    { request, peer, limit, place: asked }: AskedRequest,
  ): Promise<Caller> {
    const [, text = ""] = /^Bearer +(\S+)$/i.exec(authorization) ?? [], parsed = parseToken(text);
    const { guesses } = this.#options;
    const credential = parsed ? `${parsed.tokenId} ${parsed.secretHash}` : sha256Hex(authorization);
    // Only who has the token can make it count, so this cannot use up the limit of another.
    const client = guesses.clientOf(credential);
    if (client !== undefined) limit.count(client);
    try {
      const place = { address: networkOf(peer.address), credential };
      return await guesses.check(
        place,
        () => this.#byToken({ text, parsed }, { request, peer, asked }),
      );
    } catch (error) {
      if (client !== undefined && error instanceof HttpProblem && error.status === 401) {
        guesses.forget(credential);
        limit.uncount(client);
      }
      throw error;
    }
  }

  async #byToken(
    { text, parsed }: { readonly text: string; readonly parsed: ReturnType<typeof parseToken> },
    { request, peer, asked }: {
      readonly request: Request;
      readonly peer: Peer;
      readonly asked: AskedPlace | undefined;
    },
  ): Promise<Caller> {
    const { openToken } = this.#options;
    if (openToken !== undefined && isSecret(text, sha256Hex(openToken)) && await this.#isOpen()) {
      const refusal = checkOpenRequest(request, peer.address);
      if (refusal !== undefined) throw unauthenticated(refusal);
      return { ...OPEN_ADMIN, isValid: () => this.#isOpen() };
    }
    const found = parsed && await this.#findToken(parsed, asked);
    if (!parsed || !found || !isSameHash(parsed.secretHash, found.secretHash)) {
      throw unauthenticated("the bearer token is unknown, expired or revoked");
    }
    const scopes = new Set(found.scopes as Scope[]), { identity } = found;
    return {
      identity,
      isAdmin: identity.isAdmin && scopes.has("admin"),
      scopes,
      client: identity.identityId,
      needsDigest: false,
      ...(found.place === undefined ? {} : { found: found.place }),
      isValid: async () => await findToken(this.#options.db, parsed.tokenId) !== undefined,
    };
  }

  async #findToken(
    { tokenId, secretHash }: Pick<MintedToken, "tokenId" | "secretHash">,
    place: AskedPlace | undefined,
  ): Promise<LiveToken & { readonly place?: FoundPlace } | undefined> {
    if (place === undefined) return await findToken(this.#options.db, tokenId);
    return await this.#tokens.findAt({ tokenId, secretHash }, place);
  }

  async #bySignature({ request, peer, limit }: AskedRequest): Promise<Caller | undefined> {
    const { signatureMs: maxAgeMs } = this.#options;
    const { pathname, search } = new URL(request.url);
    const url = new URL(`http://${this.#authorityOf(request, peer)}${pathname}${search}`);
    const { method, headers } = request;
    const read = readSignature({ method, url, headers });
    if (read === undefined) return undefined;
    if (headers.has("content-digest") && !read.covers.has("content-digest")) {
      throw new SignatureError('it does not cover "content-digest"');
    }
    const expiresAtMs = checkSignature(read, { nowMs: Date.now(), maxAgeMs, skewMs: SKEW_MS });
    const { keyId, signature, base } = read;
    return await this.#checkSigner(
      keyId,
      peer,
      () => this.#admit({ keyId, signature, base, expiresAtMs }, limit),
    );
  }

  /** The body is part of what is signed, so its digest is needed first. */
  async #byMsign(
    authorization: string,
    { request, peer, limit, bodyDigest }: AskedRequest,
  ): Promise<Caller> {
    const read = readMsign(authorization);
    const expiresAtMs = checkMsignTime(read, Date.now());
    return await this.#checkSigner(`handle ${read.handle}`, peer, async () => {
      const identity = await findHandle(this.#options.db, read.handle);
      if (identity === undefined) throw unknownSigner();
      const { pathname, search } = new URL(request.url), { method } = request;
      const base = msignBase(read, {
        method,
        host: this.#authorityOf(request, peer),
        target: pathname + search,
        bodySha256: await bodyDigest(),
      });
      const { identityId: keyId } = identity, { signature } = read;
      return await this.#admit({ keyId, signature, base, expiresAtMs }, limit);
    });
  }

  /** Anybody can name a signer, so what was shown to be valid is this signer at this address. */
  async #checkSigner(signer: string, peer: Peer, look: () => Promise<Caller>): Promise<Caller> {
    const address = networkOf(peer.address), credential = `${signer} of ${address}`;
    return await this.#options.guesses.check({ address, credential }, async () => {
      try {
        return await look();
      } catch (error) {
        throw error instanceof SignatureError ? refusedSignature(error) : error;
      }
    });
  }

  /** The host that clients use. Never the request's own: another server could relay a signature. */
  #authorityOf({ url }: Request, { authorities }: Peer): string {
    const { publicUrl } = this.#options, { host } = new URL(url);
    if (publicUrl !== undefined) return new URL(publicUrl).host;
    return authorities.find((ours) => ours === host) ?? authorities[0];
  }

  /** Verifies a signature, and accepts it once. */
  async #admit(
    { keyId, signature, base, expiresAtMs }: UnverifiedSignature,
    limit: RequestLimit,
  ): Promise<Caller> {
    const { db } = this.#options, key = await this.#keyOf(keyId);
    const text = new TextEncoder().encode(base);
    if (!key || !await crypto.subtle.verify("Ed25519", key, signature, text)) throw unknownSigner();
    limit.count(keyId);
    const admitted = await admitSignature(db, {
      identityId: keyId,
      signatureHash: sha256Hex(`${keyId}\n${base}`),
      expiresAt: new Date(expiresAtMs + SKEW_MS),
    });
    // Revoked since its key was cached: the same words as for an unknown key.
    if (admitted === undefined) throw unknownSigner();
    if (!admitted.isFresh) {
      limit.uncount(keyId);
      throw new SignatureError("it was used before");
    }
    const { identity } = admitted;
    return {
      identity,
      isAdmin: identity.isAdmin,
      scopes: new Set(SCOPES),
      client: identity.identityId,
      needsDigest: true,
      isValid: async () => (await findIdentity(db, identity.identityId))?.revokedAt === null,
    };
  }

  async #keyOf(identityId: string): Promise<CryptoKey | undefined> {
    const known = this.#keys.get(identityId);
    if (known !== undefined) return known;
    const identity = await findIdentity(this.#options.db, identityId);
    if (identity === undefined || identity.revokedAt !== null) return undefined;
    const raw = Uint8Array.fromBase64(identity.publicKey);
    // Another program wrote the row: forged signatures would verify.
    if (!isSafePublicKey(raw)) return undefined;
    const key = await importPublicKey(raw);
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
    this.#keys.set(identityId, key);
    return key;
  }

  async #isOpen(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs < this.#openUntilMs) return true;
    if (this.#openUntilMs < 0) return false;
    // This never turns back: revoked identities stay in the table.
    const isOpen = !await hasIdentities(this.#options.db);
    this.#openUntilMs = isOpen ? nowMs + OPEN_MS : -1;
    return isOpen;
  }
}

function unknownSigner(): SignatureError {
  return new SignatureError("the signer is not a known identity");
}

function refusedSignature({ message }: SignatureError): HttpProblem {
  return unauthenticated(`signature: ${message}`);
}

function unauthenticated(why: string): HttpProblem {
  return new HttpProblem(401, "unauthenticated", `Cannot authenticate: ${why}`);
}
