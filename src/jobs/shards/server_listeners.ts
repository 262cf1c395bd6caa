/**
 * One listener for each server: the shards of one database are heard over one connection.
 *
 * @module
 */

import { connectDatabase } from "../../db/client/connect.ts";
import { parseUrl } from "../../db/client/parse_url.ts";
import { type Hearer, Listener } from "../worker/listener.ts";

/** A hearer whose channel is known. */
type ShardHearer = Hearer & { readonly channel: string };

interface Server {
  readonly listener: Listener;
  /** Who hears here, with what ends it; the first one opened the connection. */
  readonly hearers: Map<ShardHearer, () => void>;
  readonly isCatalog: boolean;
}

/** Opens a connection to each server when the first shard there is to be heard. */
export class ServerListeners implements AsyncDisposable {
  readonly #servers = new Map<string, Server>();

  /** @param catalog Hears the catalog already, and stays open. */
  constructor(catalog: { readonly listener: Listener; readonly url: string }) {
    const { listener, url } = catalog;
    this.#servers.set(keyOf(url), { listener, hearers: new Map(), isCatalog: true });
  }

  /** Hears the channel of a shard. Returns what ends it. */
  hear(url: string, hearer: ShardHearer): () => Promise<void> {
    const key = keyOf(url), known = this.#servers.get(key);
    if (known !== undefined) {
      known.hearers.set(hearer, known.listener.add(hearer));
      return () => this.#leave(key, hearer);
    }
    const listener = new Listener({
      ...hearer,
      connect: (options) => connectDatabase(url, options),
    });
    this.#servers.set(key, {
      listener,
      hearers: new Map([[hearer, () => listener.remove()]]),
      isCatalog: false,
    });
    return () => this.#leave(key, hearer);
  }

  async #leave(key: string, hearer: ShardHearer): Promise<void> {
    const server = this.#servers.get(key);
    if (server === undefined) return;
    server.hearers.get(hearer)?.();
    server.hearers.delete(hearer);
    if (server.isCatalog || server.hearers.size > 0) return;
    this.#servers.delete(key);
    await server.listener[Symbol.asyncDispose]();
  }

  /** Closes all but the catalog's. */
  async [Symbol.asyncDispose](): Promise<void> {
    const others = [...this.#servers.values()].filter(({ isCatalog }) => !isCatalog);
    this.#servers.clear();
    await Promise.all(others.map(({ listener }) => listener[Symbol.asyncDispose]()));
  }
}

/** The same for two URLs of one database. */
function keyOf(url: string): string {
  const { places, database, user } = parseUrl(url);
  return JSON.stringify([places, database, user]);
}
