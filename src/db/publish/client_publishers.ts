import type { KeyedLimit } from "../../lib/keyed_limit.ts";
import type { Database } from "../client/database.ts";
import { Publisher } from "./publisher.ts";

/** A publisher in use. */
export interface OpenPublisher extends Disposable {
  /** For packs of one client and one repo. */
  readonly publisher: Publisher;
}

/**
 * The publishers of clients: what one client pushes to one repo at the same time is published
 * together. Packs of different clients or repos are not, because a publish may wait for a lock of its
 * repo. For the same reason a client has a limited number of connections; leases are renewed while its
 * packs wait for one.
 */
export class ClientPublishers {
  readonly #db: Database;
  readonly #limit: KeyedLimit;
  readonly #open = new Map<string, { readonly publisher: Publisher; users: number }>();

  /** Sends to this database; `limit` has the connections of each client. */
  constructor(db: Database, limit: KeyedLimit) {
    this.#db = db;
    this.#limit = limit;
  }

  /** The client's publisher of a repo. Dispose of the result after the publish. */
  open(client: string, repoId: string): OpenPublisher {
    const key = `${repoId} ${client}`;
    const opened = this.#open.get(key) ?? {
      publisher: new Publisher(this.#db, (signal) => this.#limit.enter(client, signal)),
      users: 0,
    };
    this.#open.set(key, opened);
    opened.users++;
    return {
      publisher: opened.publisher,
      [Symbol.dispose]: () => {
        if (--opened.users === 0) this.#open.delete(key);
      },
    };
  }
}
