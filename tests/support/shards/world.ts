/**
 * A catalog with shards in one database of each of two servers, which can replicate.
 *
 * @module
 */

import { connectDatabase } from "../../../src/db/client/connect.ts";
import type { Database } from "../../../src/db/client/database.ts";
import { createIdentity } from "../../../src/db/identities.ts";
import { migrate } from "../../../src/db/schema/migrate.ts";
import { shardUrl } from "../../../src/db/shards/shard.ts";
import { createToken } from "../../../src/db/tokens.ts";
import { mintToken } from "../../../src/http/auth/token.ts";
import { PromotedPair } from "../postgres/failing_pairs.ts";
import { startTestServer, type TestServer } from "../postgres/test_server.ts";
import { addShard } from "./catalog_with.ts";
import { databaseAt, REPLICATING } from "./two_servers.ts";

const SETTINGS = {
  ...REPLICATING,
  synchronous_commit: "on",
  deadlock_timeout: "50ms",
  max_connections: "300",
};

/** The servers, the catalog and its shards. */
export interface World extends AsyncDisposable {
  /** Single ones, or pairs, which can fail over. */
  readonly servers: readonly (TestServer | PromotedPair)[];
  readonly catalog: Database;
  readonly catalogUrl: string;
  /** Where shards may be: a database of each server. */
  readonly places: readonly string[];
  /** The shards' names. */
  readonly names: readonly string[];
  /** Of the store. */
  readonly folder: string;
  readonly completeUrl: (url: string) => string;
}

/**
 * Starts the servers; their processes survive a restart, not a crash of the machine.
 *
 * @param options.isPaired Each has a synchronous standby.
 */
export async function openWorld(
  shardsPerServer: number,
  { isPaired = false }: { readonly isPaired?: boolean } = {},
): Promise<World> {
  const stack = new AsyncDisposableStack();
  const servers: (TestServer | PromotedPair)[] = [];
  for (let i = 0; i < 2; i++) {
    servers.push(
      stack.use(
        isPaired
          ? await PromotedPair.start(SETTINGS)
          : await startTestServer({ settings: SETTINGS }),
      ),
    );
  }
  const [first, second] = servers;
  // They go with their servers.
  const catalogDatabase = await databaseAt(first, "catalog");
  const places = [
    (await databaseAt(first, "place")).url,
    (await databaseAt(second, "place")).url,
  ];
  const catalog = connectDatabase(catalogDatabase.url, {
    maxConnections: 6,
    applicationName: "simulator",
  });
  stack.defer(() => catalog.close());
  await migrate(catalog);
  const names: string[] = [];
  for (let i = 0; i < 2 * shardsPerServer; i++) {
    const name = `s${i + 1}`, at = { db: catalog, url: catalogDatabase.url };
    await (await addShard(at, name, places[i % 2])).close();
    names.push(name);
  }
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  return {
    servers,
    catalog,
    catalogUrl: catalogDatabase.url,
    places,
    names,
    folder,
    completeUrl: (url) => shardUrl(url, catalogDatabase.url),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Makes an identity; returns a token that may read and push. */
export async function tokenOf(catalog: Database, handle: string): Promise<string> {
  const { identityId } = await createIdentity(catalog, {
    identityId: `sha256:${handle.padEnd(64, "0").replaceAll(/[^0-9a-f]/g, "1")}`,
    handle,
    publicKey: handle,
    isAgent: false,
    isAdmin: false,
  });
  const { text, tokenId, secretHash } = mintToken();
  const scopes = ["read", "push"];
  await createToken(catalog, { tokenId, identityId, secretHash, scopes, lifetimeMs: 86_400_000 });
  return text;
}
