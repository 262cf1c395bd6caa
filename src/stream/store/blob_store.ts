/**
 * The contract of a blob store. A folder and an S3 bucket both implement it, and
 * `tests/stream/store/blob_store_contract.ts` tests it.
 *
 * A caller reads into its own buffers, so the caller decides how much memory a read takes.
 *
 * @module
 */

/** What a store knows about a blob without reading it. */
export interface BlobStat {
  /** Length in bytes. */
  readonly sizeBytes: number;
  /** The store's identifier of this version of the blob, as sent in `If-Match`. */
  readonly etag: string;
}

/** How to open a blob. */
export interface OpenOptions {
  /** First byte to read, from 0. Default 0. */
  readonly offsetBytes?: number;
  /** The most bytes to read, 1 or more. Default: to the end. */
  readonly lengthBytes?: number;
  /** Fails with `blob-missing` (status 412) if the blob has another version. */
  readonly etag?: string;
  /** Ends the opening and every later read with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** An open blob. Close it, or use `await using`. */
export interface BlobReader extends AsyncDisposable {
  /** The blob when it was opened; the size is the whole blob's, whichever range is read. */
  readonly stat: BlobStat;
  /**
   * Fills `into` with the bytes that follow the last read.
   *
   * @returns How many bytes were written: fewer than `into.length` only at the end, 0 after it.
   * @throws {StoreError} `store-unavailable` if the store still fails after all retries.
   */
  read(into: Uint8Array): Promise<number>;
  /**
   * The bytes that follow the last read, in the reader's own memory: valid until the next call. Empty at
   * the end. Undefined for a reader that has no bytes of its own.
   *
   * @throws As {@link read}.
   */
  lend?(): Promise<Uint8Array>;
  /** Closes the connection or file. May be called more than once. */
  close(): Promise<void>;
}

/** How to write a blob. */
export interface PutOptions {
  /** The length of `body` in bytes, if it is known. */
  readonly sizeBytes?: number;
  /**
   * SHA-256 of `body` as 64 lower-case hexadecimal digits. A store with
   * {@link BlobStore.provesDigests} writes no other body.
   */
  readonly sha256Hex?: string;
  /**
   * Leaves a blob that is already under the key as it is, and returns its stat. A blob that was
   * written at the same moment may still be replaced by an S3 engine without conditional writes, or
   * if `body` is larger than 8 MiB.
   */
  readonly ifAbsent?: boolean;
  /** Ends the write; nothing is left under the key. */
  readonly signal?: AbortSignal;
}

/** One entry of a listing. */
export interface BlobEntry {
  /** The blob's key. */
  readonly key: string;
  /** Length in bytes. */
  readonly sizeBytes: number;
  /** When the blob was last written. */
  readonly modifiedAt: Date;
}

/** A URL that permits one request until it expires. */
export interface Presigned {
  /** The URL. */
  readonly url: string;
  /** Headers that the request must send exactly, or the store refuses the signature. */
  readonly headers: Record<string, string>;
  /** When the URL expires. */
  readonly expiresAt: Date;
}

/** What a presigned upload permits. */
export interface PresignPutOptions {
  /** Seconds until the URL expires, 1 to 604,800. */
  readonly expiresSeconds: number;
  /**
   * SHA-256 of the body as 64 hexadecimal digits. The request must then send it as
   * `x-amz-checksum-sha256`, which engines that know the header compare with the body. Default: any
   * body is accepted, and a PUT needs no header.
   */
  readonly sha256Hex?: string;
}

/** One part that the store has of an upload. */
export interface SentPart {
  /** Its place in the blob, 1 to 10,000. */
  readonly number: number;
  /** Length in bytes. */
  readonly sizeBytes: number;
  /** The store's identifier of this version of the part. */
  readonly etag: string;
}

/** How to join the parts of an upload. */
export interface CompleteOptions {
  /** SHA-256 of the whole blob; a store that cannot compare it joins the parts anyway. */
  readonly sha256Hex?: string;
  /** Called before the blob becomes visible; if it throws, the blob does not. */
  readonly check?: () => Promise<void>;
  /** Ends the work; nothing is visible then. */
  readonly signal?: AbortSignal;
}

/**
 * Uploads in parts that others send. Parts are in no listing and no reader sees them before they are
 * joined to a blob.
 */
export interface PartUploads {
  /** The largest body of one presigned PUT, in bytes; undefined for any length. */
  readonly maxWholeBytes?: number;
  /** Begins an upload to `key`; returns its id. */
  begin(key: string, options?: { signal?: AbortSignal }): Promise<string>;
  /** The parts that are there, by number; undefined if there is no such upload any more. */
  list(
    key: string,
    uploadId: string,
    options?: { signal?: AbortSignal },
  ): Promise<SentPart[] | undefined>;
  /** Returns a URL to PUT one part with; undefined for a store without a server of its own. */
  presign?(
    key: string,
    uploadId: string,
    part: { readonly number: number; readonly expiresSeconds: number },
  ): Promise<Presigned>;
  /** Joins the parts to the blob and ends the upload. */
  complete(
    key: string,
    uploadId: string,
    parts: readonly SentPart[],
    options?: CompleteOptions,
  ): Promise<void>;
  /** Removes the parts. Succeeds if there is no such upload. */
  abort(key: string, uploadId: string, options?: { signal?: AbortSignal }): Promise<void>;
}

/** Which half-written blobs to remove. */
export interface SweepOptions {
  /** Only those that were begun before. */
  readonly before: Date;
  /** Whether to count them only. Default false. */
  readonly isDryRun?: boolean;
  /** Whether an upload in parts is still going on, however old it is. */
  readonly isOpen?: (uploadId: string) => Promise<boolean>;
  /** Ends the work. */
  readonly signal?: AbortSignal;
}

/**
 * Immutable blobs under string keys.
 *
 * A key is a relative path such as `mpacks/r1/sha256:ab12`. Every method throws a `ConfigError` for
 * an invalid key, and `store-unavailable` when the store gives no answer in time: none waits forever.
 */
export interface BlobStore {
  /** The store as a URL without secrets, for logs and errors. */
  readonly url: string;
  /** Whether `put` checks `sha256Hex`. Where it does not, the caller must check the body. */
  readonly provesDigests?: boolean;
  /**
   * Returns the blob's size and version.
   *
   * @throws {StoreError} `blob-missing` or `store-unavailable`.
   */
  stat(key: string, options?: { signal?: AbortSignal }): Promise<BlobStat>;
  /**
   * Opens a blob for reading. Reads after a lost connection continue with the same version.
   *
   * @throws {StoreError} `blob-missing` (status 412 if the ETag differs) or `store-unavailable`.
   * @throws {RangeError} If the offset is after the blob's end. At the end, reads return 0.
   */
  open(key: string, options?: OpenOptions): Promise<BlobReader>;
  /**
   * Writes a blob. Other readers see the old content or all of the new one, never a part.
   *
   * The body may overwrite a chunk when the next one is asked for. An error that the body throws is
   * thrown unchanged, and nothing is written.
   *
   * @throws {StoreError} `store-unavailable`.
   * @throws {RangeError} If the body does not have `sizeBytes` bytes.
   * @throws {DigestError} If the body does not have the digest `sha256Hex`.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<BlobStat>;
  /**
   * Writes a blob whose key is known only after its last byte; otherwise as `put` does. Undefined
   * for a store that cannot.
   *
   * @param keyOf Called once, after the end of the body.
   */
  putUnnamed?(
    keyOf: () => string,
    body: AsyncIterable<Uint8Array>,
    options?: Pick<PutOptions, "sizeBytes" | "signal">,
  ): Promise<BlobStat>;
  /** Deletes a blob. Succeeds if there is none. */
  delete(key: string, options?: { signal?: AbortSignal }): Promise<void>;
  /** Lists the blobs whose keys begin with `prefix`, sorted by the bytes of the key. */
  list(prefix: string, options?: { signal?: AbortSignal }): AsyncIterable<BlobEntry>;
  /**
   * Removes half-written blobs of killed writers, if they were begun before a time. Undefined for a
   * store that has none.
   *
   * @returns How many there were; with `isDryRun` they are still there.
   */
  sweep?(options: SweepOptions): Promise<number>;
  /**
   * Tells how the store keeps blobs that were deleted, in words; undefined if it does not, or does not
   * say. Undefined for a store that never does.
   *
   * @throws {StoreError} `store-unavailable`.
   */
  lock?(options?: { signal?: AbortSignal }): Promise<string | undefined>;
  /** Returns a URL to PUT one blob with; undefined if the store has no server of its own. */
  presignPut(key: string, options: PresignPutOptions): Promise<Presigned | undefined>;
  /** Uploads in parts; undefined for a store whose protocol has none. */
  readonly partUploads?: PartUploads;
}
