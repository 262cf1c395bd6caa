/**
 * How long a store may be silent: the defaults, and the deadlines of a store that has none.
 *
 * @module
 */
import { StoreError } from "../../errors.ts";
import { startDeadline, withDeadline } from "../../lib/deadline.ts";
import type { BlobReader, BlobStat, BlobStore, PutOptions } from "./blob_store.ts";

/** The defaults of `MPACK_STORE_RETRIES`, `MPACK_STORE_IDLE_MS` and the waits between tries. */
export const DEFAULT_TIMEOUTS = {
  /** How many tries after the first may fail in a row. */
  retries: 6,
  /** The longest wait before the first retry, in milliseconds; doubled for each further one. */
  retryBaseMs: 200,
  /** The longest wait before any retry, in milliseconds. */
  retryCapMs: 20_000,
  /** The longest silence of the store, in milliseconds. */
  idleTimeoutMs: 30_000,
} as const;

/** On a slow disk, minutes pass while a file of gigabytes is synced or a folder is listed. */
const LONG_MS = 10 * 60 * 1000;

/** The stores made by {@link withStoreTimeouts}: one deadline for each wait is enough. */
const wrapped = new WeakSet<BlobStore>();

/**
 * The same store, but each wait for it fails with `store-unavailable` after `idleTimeoutMs` without
 * an answer. For stores that can hang: a folder on a network disk, or a store from outside mpackd.
 */
export function withStoreTimeouts(store: BlobStore, idleTimeoutMs: number): BlobStore {
  if (wrapped.has(store)) return store;
  const result = wrap(store, idleTimeoutMs);
  wrapped.add(result);
  return result;
}

function wrap(store: BlobStore, idleTimeoutMs: number): BlobStore {
  const { url } = store, longMs = Math.max(LONG_MS, idleTimeoutMs);
  const noAnswer = (verb: string, key: string, waitMs: number) => () => {
    const what = `Cannot ${verb} ${JSON.stringify(key)} in ${url}`;
    return new StoreError("store-unavailable", `${what}: no answer in ${waitMs} ms`);
  };
  const within = <T>(
    answer: Promise<T>,
    verb: string,
    key: string,
    options: {
      readonly signal?: AbortSignal;
      readonly deadlineMs?: number;
      readonly onLate?: (answer: T) => unknown;
    } = {},
  ) => {
    const { deadlineMs = idleTimeoutMs } = options;
    const error = noAnswer(verb, key, deadlineMs);
    return withDeadline(answer, { ...options, deadlineMs, error });
  };
  const putWithin = async (
    key: string,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions | undefined,
    put: (watched: AsyncIterable<Uint8Array>, options: PutOptions) => Promise<BlobStat>,
  ): Promise<BlobStat> => {
    const stop = new AbortController(), late = Promise.withResolvers<never>();
    let cancel = () => {}, isSettled = false;
    const restart = (deadlineMs: number) => {
      cancel();
      if (isSettled) return;
      const error = noAnswer("write", key, deadlineMs);
      cancel = startDeadline(deadlineMs, () => late.reject(error()));
    };
    // The deadline runs only while the store is busy: a slow body has a deadline of its own.
    const watched = async function* () {
      cancel();
      for await (const chunk of body) {
        restart(idleTimeoutMs);
        yield chunk;
        cancel();
      }
      restart(longMs);
    }();
    const signals = options?.signal ? [options.signal, stop.signal] : [stop.signal];
    restart(idleTimeoutMs);
    try {
      const answer = put(watched, { ...options, signal: AbortSignal.any(signals) });
      return await Promise.race([answer, late.promise]);
    } catch (error) {
      stop.abort(error);
      // A store that hangs never asks for another chunk, so it would never release the body.
      watched.return().catch(() => {});
      throw error;
    } finally {
      isSettled = true;
      cancel();
    }
  };
  return {
    url,
    provesDigests: store.provesDigests,
    stat: (key, options) => within(store.stat(key, options), "look up", key, options),
    async open(key, options) {
      const signal = options?.signal;
      const onLate = (reader: BlobReader) => reader.close();
      const reader = await within(store.open(key, options), "read", key, { signal, onLate });
      const close = () => within(reader.close(), "close", key);
      return {
        // A getter: the size of an upload of unknown length grows while it is read.
        get stat() {
          return reader.stat;
        },
        read: (into) => within(reader.read(into), "read", key, { signal }),
        ...(reader.lend && { lend: () => within(reader.lend!(), "read", key, { signal }) }),
        close,
        [Symbol.asyncDispose]: close,
      };
    },
    put: (key, body, options) =>
      putWithin(key, body, options, (watched, inner) => store.put(key, watched, inner)),
    ...(store.putUnnamed && {
      putUnnamed: (
        keyOf: () => string,
        body: AsyncIterable<Uint8Array>,
        options?: Pick<PutOptions, "sizeBytes" | "signal">,
      ) =>
        putWithin(
          "a new blob",
          body,
          options,
          (watched, inner) => store.putUnnamed!(keyOf, watched, inner),
        ),
    }),
    delete: (key, options) => within(store.delete(key, options), "delete", key, options),
    async *list(prefix, options) {
      const entries = store.list(prefix, options)[Symbol.asyncIterator]();
      let isDone = false;
      try {
        while (true) {
          const { done, value } = await within(entries.next(), "list", prefix, {
            ...options,
            deadlineMs: longMs,
          });
          isDone = done === true;
          if (done) return;
          yield value;
        }
      } finally {
        // Not awaited: it would wait for the entry that did not come.
        if (!isDone) Promise.resolve(entries.return?.()).catch(() => {});
      }
    },
    ...(store.sweep && {
      sweep: (options: Parameters<NonNullable<BlobStore["sweep"]>>[0]) =>
        within(store.sweep!(options), "sweep", "", { ...options, deadlineMs: longMs }),
    }),
    presignPut: (key, options) => within(store.presignPut(key, options), "sign for", key),
  };
}
