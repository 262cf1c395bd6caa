/**
 * Where mpacks lie: the one interface that a folder and an S3 bucket both keep.
 *
 * Bytes are pulled into buffers the caller owns. A reader therefore never decides how much memory
 * the pipeline holds, and a buffer can be used again for the next read.
 *
 * @module
 */

/** What a store knows of a blob without reading it. */
export interface BlobStat {
  /** Length in bytes. */
  readonly sizeBytes: number;
  /** The store's name for this version of the bytes, to be sent back as If-Match. */
  readonly etag: string;
}

/** How to open a blob. */
export interface OpenOptions {
  /** First byte to read, from 0. Default 0. */
  readonly offsetBytes?: number;
  /** How many bytes to read at most, 1 or more. Default: to the end. */
  readonly lengthBytes?: number;
  /** Refuse with `blob-missing` (status 412) unless the blob still is this version. */
  readonly etag?: string;
  /** Ends the read with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** An open blob. Close it, or use `await using`. */
export interface BlobReader extends AsyncDisposable {
  /** The blob as it was when opened (the whole blob's size, whatever range was asked for). */
  readonly stat: BlobStat;
  /**
   * Fills `into` from where the last read ended.
   *
   * @returns How many bytes were written; fewer than `into.length` only at the end, 0 after it.
   * @throws {StoreError} If the store fails for longer than its retries last.
   */
  read(into: Uint8Array): Promise<number>;
  /** Lets go of the connection or file. May be called twice. */
  close(): Promise<void>;
}

/** How to write a blob. */
export interface PutOptions {
  /** The length of `body` in bytes, where it is known beforehand. */
  readonly sizeBytes?: number;
  /**
   * SHA-256 of `body` as 64 lower-case hex digits: a store that {@link BlobStore.provesDigests} takes
   * no other body.
   */
  readonly sha256Hex?: string;
  /** Ends the write; nothing is left under the key. */
  readonly signal?: AbortSignal;
}

/** One row of a listing. */
export interface BlobEntry {
  /** The blob's key. */
  readonly key: string;
  /** Length in bytes. */
  readonly sizeBytes: number;
  /** When it was last written. */
  readonly modifiedAt: Date;
}

/** A URL that lets its holder do one thing for a while. */
export interface Presigned {
  /** The URL. */
  readonly url: string;
  /** Headers that the request must carry exactly, or the signature does not fit. */
  readonly headers: Record<string, string>;
  /** When it stops working. */
  readonly expiresAt: Date;
}

/** What a presigned upload is bound to. */
export interface PresignPutOptions {
  /** Seconds the URL works, 1 to 604,800. */
  readonly expiresSeconds: number;
  /** The only length accepted, in bytes, where the engine enforces it. */
  readonly sizeBytes?: number;
  /** SHA-256 of the body as 64 hex digits, signed in as `x-amz-checksum-sha256`. */
  readonly sha256Hex?: string;
}

/**
 * A place that holds immutable blobs under string keys.
 *
 * A key is a relative path such as `mpacks/r1/sha256:ab12`; every method throws a `ConfigError` for
 * one that is not. No method waits for ever: a store that gets no answer says `store-unavailable`.
 */
export interface BlobStore {
  /** The store as a URL with no secrets, for logs and errors. */
  readonly url: string;
  /**
   * Whether `put` holds a body to the digest it is given. Of a store that does not say so, whoever
   * needs the proof has to make it.
   */
  readonly provesDigests?: boolean;
  /**
   * Looks a blob up.
   *
   * @throws {StoreError} `blob-missing`, or `store-unavailable`.
   */
  stat(key: string, options?: { signal?: AbortSignal }): Promise<BlobStat>;
  /**
   * Opens a blob for reading.
   *
   * @throws {StoreError} `blob-missing` (also when the ETag differs), or `store-unavailable`.
   * @throws {RangeError} If the offset is beyond the blob's end; the end itself reads as nothing.
   */
  open(key: string, options?: OpenOptions): Promise<BlobReader>;
  /**
   * Writes a blob whole: under the key lies the old content or all of the new one, never a part.
   *
   * A chunk of `body` may be overwritten once the next one is asked for. What `body` throws is
   * thrown on as it is.
   *
   * @throws {StoreError} `store-unavailable`.
   * @throws {RangeError} If the body is not as long as declared.
   * @throws {DigestError} If the body is not what `sha256Hex` says.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<BlobStat>;
  /** Deletes a blob; deleting one that is not there succeeds. */
  delete(key: string, options?: { signal?: AbortSignal }): Promise<void>;
  /** Lists the blobs under a prefix, in key order, page by page. */
  list(prefix: string, options?: { signal?: AbortSignal }): AsyncIterable<BlobEntry>;
  /**
   * Removes what writers that were killed left half-written, if it was begun before a time.
   * Undefined for a store that leaves nothing.
   *
   * @returns How many half-written blobs there were; with `isDryRun` they are still there.
   */
  sweep?(
    options: { readonly before: Date; readonly isDryRun?: boolean; readonly signal?: AbortSignal },
  ): Promise<number>;
  /** A URL to PUT one blob with; undefined where the store has no server of its own. */
  presignPut(key: string, options: PresignPutOptions): Promise<Presigned | undefined>;
}
