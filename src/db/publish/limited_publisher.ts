import type { KeyedLimit } from "../../lib/keyed_limit.ts";
import type { Database } from "../client/database.ts";
import type { Lease } from "../lease.ts";
import type { PublishOptions } from "./publish.ts";
import type { PublishOutcome } from "./publish_outcome.ts";
import type { PublishPack } from "./publish_pack.ts";
import { Publisher } from "./publisher.ts";

/**
 * Publishes for one client, which has a limited number of connections for that: a publish may wait for
 * a lock, and other clients must not wait for the connection. The lease is renewed meanwhile.
 */
export class LimitedPublisher extends Publisher {
  readonly #limit: KeyedLimit;
  readonly #client: string;

  constructor(db: Database, limit: KeyedLimit, client: string) {
    super(db);
    this.#limit = limit;
    this.#client = client;
  }

  override async publish(
    lease: Lease,
    pack: PublishPack,
    options: PublishOptions = {},
  ): Promise<PublishOutcome> {
    using _place = await this.#limit.enter(this.#client, options.signal);
    return await super.publish(lease, pack, options);
  }
}
