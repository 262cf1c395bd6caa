/**
 * Checks of the store: its owner, and every kind of request that mpackd sends, tried on blobs of the
 * check's own, which it removes.
 *
 * @module
 */

import type { Database } from "../../db/client/database.ts";
import { isBlobMissing, MpackdError } from "../../errors.ts";
import { DigestError } from "../../stream/store/checked_body.ts";
import type { BlobStore } from "../../stream/store/blob_store.ts";
import { compareOwner } from "../store_owner.ts";
import { type Check, failed, failure, ok, warning } from "./check.ts";
import { checkClock } from "./check_clock.ts";

/** More than one part of a multipart upload, which a body of unknown length becomes. */
const LARGE_BYTES = 9 * 1024 * 1024;
const SMALL = new TextEncoder().encode("mpackd doctor writes, reads and removes this.\n");
const WRITE = "store write";
const WRONG_SHA256 = "0".repeat(64);
const EXPIRES_SECONDS = 60;

/** What a check of the store needs. */
export interface StoreOptions {
  readonly store: BlobStore;
  /** Undefined if it cannot be opened: then the owner is not compared. */
  readonly db: Database | undefined;
  /** False to send nothing that writes. */
  readonly isWriting: boolean;
  readonly signal?: AbortSignal;
}

/** Looks at the store, and tries it. Leaves nothing behind. */
export async function* checkStore(options: StoreOptions): AsyncGenerator<Check, void, undefined> {
  const { store, db, isWriting, signal } = options;
  if (db !== undefined) yield await checkOwner(db, store, signal);
  if (!isWriting) return yield* checkLock(store, signal);
  const folder = `mpackd-doctor/${crypto.randomUUID()}`;
  let hasWritten = false;
  try {
    for await (const check of tryRequests(store, folder, signal)) {
      if (check.name === WRITE) hasWritten = check.status === "ok";
      yield check;
    }
    // One that is away is named once.
    if (hasWritten) yield* checkLock(store, signal);
  } finally {
    const removed = await removeAll(store, folder);
    // Where nothing could be written, there is nothing to remove by hand.
    if (hasWritten) yield removed;
  }
}

async function checkOwner(db: Database, store: BlobStore, signal?: AbortSignal): Promise<Check> {
  const name = "store owner", next = '"mpackd store show" prints both sides';
  try {
    const { ownership } = await compareOwner({ db, store, signal });
    switch (ownership) {
      case "ours":
        return ok(name, `${store.url} belongs to this database`);
      case "unmarked":
        return ok(name, `${store.url} has no owner yet; the first use marks it`);
      case "older-database":
        return warning(name, "the database was restored from an older backup", next);
      case "foreign":
        return failure(name, `${store.url} belongs to another database`, next);
      case "lost":
        return failure(name, `${store.url} has lost its marker: is it mounted?`, next);
    }
  } catch (error) {
    if (!(error instanceof MpackdError)) throw error;
    return failed(name, error);
  }
}

/** gc deletes blobs: they must not stay. */
async function* checkLock(
  store: BlobStore,
  signal?: AbortSignal,
): AsyncGenerator<Check, void, undefined> {
  const name = "store lock";
  if (store.lock === undefined) return;
  try {
    const lock = await store.lock({ signal });
    yield lock === undefined ? ok(name, "none that the store tells of") : warning(
      name,
      `${lock}: what gc deletes stays as a version, and frees no space`,
      "use a bucket without Object Lock, or let a lifecycle rule expire noncurrent versions",
    );
  } catch (error) {
    if (!(error instanceof MpackdError)) throw error;
    yield failed(name, error);
  }
}

async function* tryRequests(
  store: BlobStore,
  folder: string,
  signal?: AbortSignal,
): AsyncGenerator<Check, void, undefined> {
  const key = `${folder}/small`;
  const sentAt = Date.now();
  const written = yield* attempt(WRITE, async () => {
    const { etag } = await store.put(key, ReadableStream.from([SMALL]), {
      sizeBytes: SMALL.length,
      signal,
    });
    return { found: `a blob of ${SMALL.length} bytes`, value: etag };
  });
  if (written === undefined) return;
  const answeredAt = Date.now();
  yield* attempt("store read", async () => {
    const whole = await readText(store, key, {}, signal);
    const part = await readText(store, key, { offsetBytes: 7, lengthBytes: 6 }, signal);
    const text = new TextDecoder().decode(SMALL);
    if (whole !== text || part !== text.slice(7, 13)) throw new Wrong("other bytes came back");
    return { found: "the bytes that were written, whole and in part" };
  });
  yield* attempt("store condition", async () => {
    await readText(store, key, { etag: written }, signal);
    try {
      await readText(store, key, { etag: `"${"0".repeat(32)}"` }, signal);
    } catch (error) {
      if (isBlobMissing(error)) return { found: "a blob that was replaced is noticed" };
      throw error;
    }
    throw new Wrong("a blob that was replaced is read as the old one");
  });
  const modifiedAt = yield* attempt("store list", async () => {
    for await (const entry of store.list(`${folder}/`, { signal })) {
      if (entry.key === key) return { found: "the blob is listed", value: entry.modifiedAt };
    }
    throw new Wrong("the blob is not listed");
  });
  if (modifiedAt !== undefined) {
    const otherAt = modifiedAt.getTime();
    yield checkClock("store clock", { sentAt, answeredAt, otherAt, resolutionMs: 1000 });
  }
  yield* attempt("store large write", async () => {
    const chunk = new Uint8Array(1024 * 1024);
    const body = ReadableStream.from(
      Array.from({ length: LARGE_BYTES / chunk.length }, () => chunk),
    );
    const { sizeBytes } = await store.put(`${folder}/large`, body, { signal });
    if (sizeBytes !== LARGE_BYTES) throw new Wrong(`${sizeBytes} of ${LARGE_BYTES} bytes arrived`);
    return { found: "an upload of unknown length (in parts, on S3)" };
  });
  yield* attempt("store checksum", async () => {
    try {
      await store.put(`${folder}/wrong`, ReadableStream.from([SMALL]), {
        sizeBytes: SMALL.length,
        sha256Hex: WRONG_SHA256,
        signal,
      });
    } catch (error) {
      if (error instanceof DigestError) return { found: "a wrong digest is refused" };
      throw error;
    }
    if (store.provesDigests !== true) return { found: "mpackd hashes what it writes" };
    throw new Wrong("a body with a wrong digest was written");
  });
  yield* attempt("store upload URL", () => tryUpload(store, `${folder}/presigned`, signal));
}

async function tryUpload(
  store: BlobStore,
  key: string,
  signal?: AbortSignal,
): Promise<{ found: string }> {
  const signed = await store.presignPut(key, { expiresSeconds: EXPIRES_SECONDS });
  if (signed === undefined) return { found: "clients upload through serve" };
  let response: Response;
  try {
    response = await fetch(signed.url, { method: "PUT", body: SMALL, signal });
  } catch {
    // The error would print the URL, which works.
    throw new Wrong("no answer to a PUT to a presigned URL");
  }
  await response.body?.cancel();
  if (!response.ok) {
    throw new Wrong(`a PUT to a presigned URL was answered with ${response.status}`);
  }
  await store.stat(key, { signal });
  return { found: "a bare PUT to a presigned URL is accepted" };
}

/** What a request brought although it succeeded. */
class Wrong extends Error {}

/** Tries one thing. Returns its value, or undefined if it failed. */
async function* attempt<T = undefined>(
  name: string,
  work: () => Promise<{ readonly found: string; readonly value?: T }>,
): AsyncGenerator<Check, T | undefined, undefined> {
  try {
    const { found, value } = await work();
    yield ok(name, found);
    return value;
  } catch (error) {
    if (!(error instanceof Wrong) && !(error instanceof MpackdError)) throw error;
    const next = error instanceof Wrong ? "compare the engine with docs/s3.md" : undefined;
    yield error instanceof MpackdError && next === undefined
      ? failed(name, error)
      : failure(name, error.message, next);
    return undefined;
  }
}

async function removeAll(store: BlobStore, folder: string): Promise<Check> {
  const name = "store delete";
  try {
    for (const blob of ["small", "large", "wrong", "presigned"]) {
      await store.delete(`${folder}/${blob}`);
    }
    for await (const { key } of store.list(`${folder}/`)) {
      return failure(name, `${key} is still there after it was deleted`);
    }
    return ok(name, "what was written is gone");
  } catch (error) {
    if (!(error instanceof MpackdError)) throw error;
    return failure(name, error.message, `remove ${folder} from ${store.url} by hand`);
  }
}

async function readText(
  store: BlobStore,
  key: string,
  part: { offsetBytes?: number; lengthBytes?: number; etag?: string },
  signal?: AbortSignal,
): Promise<string> {
  await using reader = await store.open(key, { ...part, signal });
  const bytes = new Uint8Array(SMALL.length);
  return new TextDecoder().decode(bytes.subarray(0, await reader.read(bytes)));
}
