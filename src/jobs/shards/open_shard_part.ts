import { copyFired, type Fired } from "../schedules/copy_fired.ts";
import { openPart, type Part, type PartOptions } from "../worker/open_part.ts";
import type { ServerListeners } from "./server_listeners.ts";

/** What works for a shard. */
export interface OpenedShardPart extends Part {
  /** Makes the jobs of what the catalog's schedules have fired. */
  carry(fired: readonly Fired[]): Promise<void>;
}

/** Opens what works for a shard: as for the catalog, and woken by the shard's channel. */
export async function openShardPart(
  options: PartOptions,
  { listeners, url }: { readonly listeners: ServerListeners; readonly url: string },
): Promise<OpenedShardPart> {
  const { db, observe } = options;
  const [{ channel }] = await db.query<{ channel: string }>("read a shard's channel")`
    select mpackd_channel_1() as channel`;
  const part = openPart(options);
  const leave = listeners.hear(url, {
    channel,
    onWake: (text) => part.wake(text),
    onChange(error) {
      observe({ type: "listener", error });
      // A statement tells whether the server is away.
      if (error !== undefined) part.wake();
    },
  });
  let carried = "";
  return {
    ...part,
    get silentMs() {
      return part.silentMs;
    },
    async carry(fired) {
      const key = JSON.stringify(fired.map(({ name, last_at }) => [name, last_at]));
      if (key === carried || fired.length === 0) return;
      await copyFired(db, fired);
      carried = key;
    },
    async [Symbol.asyncDispose]() {
      await leave();
      await part[Symbol.asyncDispose]();
    },
  };
}
