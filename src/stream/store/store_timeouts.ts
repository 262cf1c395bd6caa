/**
 * Deadlines for a store that has none of its own: a folder may lie on a network disk that hangs.
 *
 * @module
 */
import { StoreError } from "../../errors.ts";
import type { BlobReader, BlobStore } from "./blob_store.ts";
import { withDeadline } from "../../lib/deadline.ts";

/** Syncing a file of many gigabytes takes minutes on a slow disk; so does looking through a folder. */
const LONG_MS = 10 * 60 * 1000;

/** Those that have been made here: no wait needs two deadlines. */
const PATIENT = new WeakSet<BlobStore>();

/** The store, whose every wait ends in `store-unavailable` after `idleTimeoutMs` without an answer. */
export function withStoreTimeouts(store: BlobStore, idleTimeoutMs: number): BlobStore {
  if (PATIENT.has(store)) return store;
  const patient = makePatient(store, idleTimeoutMs);
  PATIENT.add(patient);
  return patient;
}

function noAnswer(action: string, waitMs: number): StoreError {
  return new StoreError("store-unavailable", `Cannot ${action}: no answer in ${waitMs} ms`);
}

function makePatient(store: BlobStore, idleTimeoutMs: number): BlobStore {
  const { url } = store, longMs = Math.max(LONG_MS, idleTimeoutMs);
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
    const error = () => noAnswer(`${verb} ${JSON.stringify(key)} in ${url}`, deadlineMs);
    return withDeadline(answer, { ...options, deadlineMs, error });
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
        // Not copied: where nobody has said how long a blob is, it changes.
        get stat() {
          return reader.stat;
        },
        read: (into) => within(reader.read(into), "read", key, { signal }),
        close,
        [Symbol.asyncDispose]: close,
      };
    },
    async put(key, body, options) {
      const stop = new AbortController(), late = Promise.withResolvers<never>();
      let timer: ReturnType<typeof setTimeout> | undefined;
      // The clock runs only while the store has the turn: a slow body is somebody else's to end.
      const watch = (waitMs: number) => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          late.reject(noAnswer(`write ${JSON.stringify(key)} in ${url}`, waitMs));
        }, waitMs);
      };
      const watched = async function* () {
        clearTimeout(timer);
        for await (const chunk of body) {
          watch(idleTimeoutMs);
          yield chunk;
          clearTimeout(timer);
        }
        watch(longMs);
      }();
      const signals = options?.signal ? [options.signal, stop.signal] : [stop.signal];
      watch(idleTimeoutMs);
      try {
        const put = store.put(key, watched, { ...options, signal: AbortSignal.any(signals) });
        return await Promise.race([put, late.promise]);
      } catch (error) {
        stop.abort(error);
        // A store that hangs never asks for more, and so never lets go of the body.
        watched.return().catch(() => {});
        throw error;
      } finally {
        clearTimeout(timer);
      }
    },
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
        // Not waited for: behind an answer that never comes it would not come either.
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
