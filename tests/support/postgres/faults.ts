/**
 * Services that fail at the k-th call: a database and a store around real ones.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import { StoreError } from "../../../src/errors.ts";
import type { BlobReader, BlobStore } from "../../../src/stream/store/blob_store.ts";

/** What becomes of a statement. */
export const DATABASE_FAULTS = ["refused", "lost", "hung"] as const;

/**
 * `refused`: an error, and it never reached the server. `lost`: it took effect, and its answer was
 * lost. `hung`: no answer ever, until its deadline cancels it.
 */
export type DatabaseFault = typeof DATABASE_FAULTS[number];

/** What happens to calls, and what was called. */
export interface FaultPlan<Fault extends string> {
  /** The number of the call that fails, from 1. */
  at: number;
  /** How it fails. */
  fault: Fault;
  /** How many calls fail from there on. Default 1. */
  times?: number;
}

/** A database some of whose statements fail. */
export interface FaultyDatabase {
  /** To be used in place of the real one. */
  readonly db: Database;
  /** The statements so far, by their actions. */
  readonly seen: string[];
  /** How many of them failed. */
  faults: number;
}

/** Puts faults between statements and the server. */
export function faultyDatabase(real: Database, plan: FaultPlan<DatabaseFault>): FaultyDatabase {
  const faulty: FaultyDatabase = {
    seen: [],
    faults: 0,
    db: {
      ...real,
      intercept(query, action) {
        faulty.seen.push(action);
        const number = faulty.seen.length, { at, times = 1 } = plan;
        if (number < at || number >= at + times) return query;
        faulty.faults++;
        return FAULTS[plan.fault](query);
      },
    },
  };
  return faulty;
}

const FAULTS: Record<DatabaseFault, <T>(query: PromiseLike<T>) => Promise<T>> = {
  refused: () => Promise.reject(reset()),
  lost: async (query) => {
    await query;
    throw reset();
  },
  // The plain "then" listens without sending: postgres.js sends by its own.
  hung: (query) =>
    new Promise((_, reject) => Promise.prototype.then.call(query, undefined, reject)),
};

function reset(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
}

/** What becomes of a read, or of the opening. */
export const STORE_FAULTS = [
  "refused",
  "cut",
  "hung",
  "short",
  "wrong",
  "swapped",
] as const;

/**
 * `refused`: an error. `cut`: half of the bytes, then an error. `hung`: nothing ever. `short`: half
 * of the bytes, then the end. `wrong`: bytes that are not the pack's. `swapped`: the blob is
 * another version now.
 */
export type StoreFault = typeof STORE_FAULTS[number];

/** A store some of whose calls fail. */
export interface FaultyStore {
  /** To be used in place of the real one. */
  readonly store: BlobStore;
  /** Calls so far. */
  calls: number;
  /** How many of them failed. */
  faults: number;
  /** Readers that were opened and not closed. */
  openReaders: number;
  /** Bytes that readers gave out. */
  readBytes: number;
}

/** Puts faults between the pipeline and a store; openings, reads and lookups are counted alike. */
export function faultyStore(real: BlobStore, plan: FaultPlan<StoreFault>): FaultyStore {
  const faulty: FaultyStore = {
    calls: 0,
    faults: 0,
    openReaders: 0,
    readBytes: 0,
    store: {
      url: real.url,
      stat: async (key, options) => {
        const fault = next();
        if (fault === undefined) return await real.stat(key, options);
        const stat = await failing(fault, () => real.stat(key, options));
        return { ...stat, etag: '"another"' };
      },
      open: async (key, options) => {
        const fault = next();
        if (fault === undefined) return wrap(await real.open(key, options));
        const reader = await failing(fault, () => real.open(key, options));
        const isPinned = options?.etag !== undefined;
        if (fault === "swapped" && isPinned) {
          await reader.close();
          throw swapped();
        }
        return wrap(reader, fault);
      },
      put: (key, body, options) => real.put(key, body, options),
      delete: (key, options) => real.delete(key, options),
      list: (prefix, options) => real.list(prefix, options),
      presignPut: (key, options) => real.presignPut(key, options),
    },
  };
  const next = (): StoreFault | undefined => {
    const number = ++faulty.calls, { at, times = 1 } = plan;
    if (number < at || number >= at + times) return undefined;
    faulty.faults++;
    return plan.fault;
  };
  const wrap = (reader: BlobReader, atOnce?: StoreFault): BlobReader => {
    faulty.openReaders++;
    let isOpen = true, isEnded = false, pending = atOnce;
    const close = async () => {
      if (isOpen) faulty.openReaders--;
      isOpen = false;
      await reader.close();
    };
    const read = async (into: Uint8Array): Promise<number> => {
      const fault = pending ?? next();
      pending = undefined;
      if (isEnded) return 0;
      if (fault === undefined) return await reader.read(into);
      if (fault === "swapped") throw swapped();
      const sizeBytes = await failing(fault, () => reader.read(into));
      if (fault === "wrong") {
        if (sizeBytes > 0) into[sizeBytes >> 1] ^= 0x10;
        return sizeBytes;
      }
      if (fault === "short") {
        isEnded = true;
        return sizeBytes >> 1;
      }
      throw away("the connection was cut");
    };
    return {
      stat: reader.stat,
      read: async (into) => {
        const sizeBytes = await read(into);
        faulty.readBytes += sizeBytes;
        return sizeBytes;
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  };
  return faulty;
}

/** Fails where no bytes are needed for it; else goes on with what the store says. */
async function failing<T>(fault: StoreFault, work: () => Promise<T>): Promise<T> {
  if (fault === "refused") throw away("connection refused");
  // Not even a signal ends it: the caller must have a deadline of its own.
  if (fault === "hung") return await new Promise<never>(() => {});
  return await work();
}

function away(why: string): StoreError {
  return new StoreError("store-unavailable", `Cannot read the pack: ${why}`);
}

function swapped(): StoreError {
  return new StoreError("blob-missing", "Cannot read the pack: it is another version", {
    status: 412,
    retryable: false,
  });
}
