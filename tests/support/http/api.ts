/**
 * The HTTP API on a free port of this machine, and clients of it.
 *
 * @module
 */

import { decode, encode } from "@msgpack/msgpack";
import { createApi } from "../../../src/http/app.ts";
import { contentDigest } from "../../../src/http/auth/content_digest.ts";
import { identityIdOf } from "../../../src/http/auth/keys.ts";
import { type Signer, signRequest } from "../../../src/http/auth/signature.ts";
import { mintOpenToken, mintToken } from "../../../src/http/auth/token.ts";
import { createProbes } from "../../../src/http/probes.ts";
import { openHttp } from "../../../src/http/open_http.ts";
import type { RequestRecord } from "../../../src/http/context.ts";
import { listen } from "../../../src/http/server/server.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { createIdentity, type Identity } from "../../../src/db/identities.ts";
import { createToken } from "../../../src/db/tokens.ts";
import { sha256 } from "../../../src/lib/digest.ts";
import { mpackdHandlers } from "../../../src/jobs/handlers.ts";
import { MetricsRegistry } from "../../../src/jobs/worker/metrics.ts";
import { Worker } from "../../../src/jobs/worker/worker.ts";
import type { BlobStore } from "../../../src/stream/store/blob_store.ts";
import { type ApiDescription, checkExchange } from "./openapi.ts";
import { openAsOne, shardCatalog, shardsToTest, type TestShards } from "../postgres/shards.ts";
import { createFixture, type TestFixture } from "../process/fixture.ts";

export interface TestRequest {
  /** Default GET; POST with a body. */
  readonly method?: string;
  /** A value to send as JSON. */
  readonly json?: unknown;
  /** A value to send as MessagePack, and to be answered so. */
  readonly msgpack?: unknown;
  /** Raw bytes to send. */
  readonly body?: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  readonly headers?: Record<string, string>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** Decoded by its media type. */
  // deno-lint-ignore no-explicit-any -- tests look into it as they know it
  readonly value: any;
}

export interface Client {
  /** Undefined for an anonymous client. */
  readonly identity?: Identity;
  /** Signs its requests. */
  readonly signer?: Signer;
  /**
   * Sends a request, signed if there is a key, and checks the answer against /openapi.json.
   */
  send(path: string, request?: TestRequest): Promise<TestAnswer>;
}

export interface TestApi extends AsyncDisposable {
  /** The database, the store, and a repo `me/repo`. */
  readonly fixture: TestFixture;
  readonly url: string;
  /** Undefined if the catalog has no shards. */
  readonly sharded: TestShards | undefined;
  /** Where the rows of `me/repo` are: what a test does there itself, without the API, it does on this. */
  readonly place: Database;
  /** Requests answered so far. */
  readonly records: RequestRecord[];
  readonly anonymous: Client;
  /** An admin with the open token, until there is an identity. */
  readonly admin: Client & { readonly token: string };
  /** Creates an identity with a new key. */
  identity(handle: string, options?: { isAdmin?: boolean }): Promise<Client>;
  /** Makes a client of the same identity with a bearer token. */
  token(
    client: Client,
    options?: { scopes?: string[]; lifetimeMs?: number },
  ): Promise<Client & { readonly text: string }>;
}

export interface TestApiOptions {
  /** Settings by environment name. */
  readonly env?: Record<string, string>;
  /** Whether to run jobs. Default true. */
  readonly worker?: boolean;
  /** Whether to serve the console and the probes alone. */
  readonly isConsoleOnly?: boolean;
  /** Replaces the folder store. */
  readonly store?: BlobStore;
  /** Places all repos in shards there: URLs of servers; undefined for the catalog's. */
  readonly servers?: readonly (string | undefined)[];
}

/** Starts a server; dispose of it. */
export async function startApi(options: TestApiOptions = {}): Promise<TestApi> {
  const fixture = await createFixture();
  const { env = {}, worker: isWorking = true, store = fixture.store, isConsoleOnly } = options;
  const { db } = fixture, config = fixture.config(env);
  const { servers = new Array<undefined>(shardsToTest()).fill(undefined) } = options;
  const sharded = servers.length === 0
    ? undefined
    : await shardCatalog(db, fixture.databaseUrl, servers);
  const asOne = sharded && options.servers === undefined && servers.length === 1
    ? await openAsOne(sharded)
    : undefined;
  const stop = new AbortController(), { signal } = stop;
  const records: RequestRecord[] = [];
  const onRequest = (record: RequestRecord) => void records.push(record);
  const common = { db, store, config, worker: "test", signal };
  const probes = createProbes({ checks: {}, metrics: new MetricsRegistry() });
  const openToken = mintOpenToken();
  const context = await openHttp({
    ...common,
    ...(sharded === undefined ? {} : {
      shards: {
        pools: sharded.pools,
        pushPools: sharded.pools,
        storeOf: () => Promise.resolve(store),
      },
    }),
    openToken,
    force: signal,
    probes,
    onRequest,
  });
  const server = listen(createApi(context, "test", { isConsoleOnly }), {
    hostname: "127.0.0.1",
    port: 0,
    config,
    closeMs: 500,
  });
  const workers = [db, ...sharded?.shards ?? []].map((place) => {
    const parts = { ...common, db: place };
    return new Worker({
      ...parts,
      handlers: mpackdHandlers(parts),
      leaseMs: config.leaseMs,
      concurrency: 4,
      perRepo: 4,
      pollMs: 50,
      drainMs: 0,
    });
  });
  const running = Promise.all(isWorking ? workers.map((worker) => worker.run()) : []);
  const { url } = server;
  const description: ApiDescription = isConsoleOnly
    ? { paths: {} }
    : await (await fetch(`${url}/openapi.json`)).json();
  const send: Send = async (path, request = {}, signer) => {
    const prepared = await prepare(url + path, request, signer);
    const answer = await readAnswer(await fetch(url + path, prepared));
    const { status, headers, value } = answer, { method } = prepared;
    const { pathname } = new URL(url + path), contentType = headers.get("content-type");
    checkExchange(description, { method, pathname, status, contentType, value });
    return answer;
  };
  const withToken = (token: string) => ({
    token,
    send: (path: string, request: TestRequest = {}) =>
      send(path, { ...request, headers: { authorization: `Bearer ${token}`, ...request.headers } }),
  });
  return {
    // A test that indexes by itself does so where the repo is.
    fixture: sharded === undefined ? fixture : {
      ...fixture,
      ...(asOne === undefined ? {} : { db: asOne }),
      options: (key, env) => ({ ...fixture.options(key, env), db: sharded.shards[0] }),
    },
    url,
    sharded,
    place: sharded?.shards[0] ?? db,
    records,
    anonymous: { send: (path, request) => send(path, request) },
    admin: withToken(openToken),
    async identity(handle, { isAdmin = false } = {}) {
      const { signer, publicKey } = await newSigner();
      const identity = await createIdentity(db, {
        identityId: signer.keyId,
        handle,
        publicKey: publicKey.toBase64(),
        isAgent: false,
        isAdmin,
      });
      return { identity, signer, send: (path, request) => send(path, request, signer) };
    },
    async token({ identity }, { scopes = ["read", "push"], lifetimeMs = 60_000 } = {}) {
      const { text, tokenId, secretHash } = mintToken();
      const { identityId } = identity!;
      await createToken(db, { tokenId, identityId, secretHash, scopes, lifetimeMs });
      return { identity, text, ...withToken(text) };
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await server.close();
      await running;
      await asOne?.close();
      await sharded?.[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

export async function newSigner(): Promise<{ signer: Signer; publicKey: Uint8Array }> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { privateKey, publicKey } = pair as CryptoKeyPair;
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  return { signer: { keyId: identityIdOf(raw), privateKey }, publicKey: raw };
}

/** Encodes and signs a request for `fetch`. */
export async function prepare(
  url: string,
  request: TestRequest,
  signer?: Signer,
): Promise<RequestInit & { headers: Headers; method: string }> {
  const { json, msgpack } = request, headers = new Headers(request.headers);
  let { body } = request;
  if (json !== undefined) {
    body = new TextEncoder().encode(JSON.stringify(json));
    headers.set("content-type", "application/json");
  } else if (msgpack !== undefined) {
    body = new Uint8Array(encode(msgpack));
    headers.set("content-type", "application/x-msgpack");
    if (!headers.has("accept")) headers.set("accept", "application/x-msgpack");
  }
  const method = request.method ?? (body === undefined ? "GET" : "POST");
  if (signer !== undefined) {
    const digest = body instanceof Uint8Array ? contentDigest(sha256(body)) : undefined;
    if (digest !== undefined && !headers.has("content-digest")) {
      headers.set("content-digest", digest);
    }
    const signed = await signRequest({ method, url: new URL(url), headers }, signer);
    for (const [name, value] of Object.entries(signed)) headers.set(name, value);
  }
  return { method, headers, ...(body === undefined ? {} : { body }) };
}

type Send = (path: string, request?: TestRequest, signer?: Signer) => Promise<TestAnswer>;

/** Reads a whole answer. */
export async function readAnswer(response: Response): Promise<TestAnswer> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { status, headers } = response;
  const type = headers.get("content-type") ?? "";
  const value = bytes.length === 0
    ? undefined
    : type.includes("json")
    ? JSON.parse(new TextDecoder().decode(bytes))
    : type.includes("msgpack")
    ? decode(bytes)
    : undefined;
  return { status, headers, bytes, value };
}
