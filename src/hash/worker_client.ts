/**
 * Hashes in a Worker, so that hashing and decoding use one core each.
 *
 * @module
 */

import { withDeadline } from "../lib/deadline.ts";
import type { CoreOptions } from "./engine.ts";
import type { HashEngine, HasherSettings, Sha256 } from "./hasher.ts";

type Buffer = Uint8Array<ArrayBuffer>;

/** Messages to the thread. */
export type Request =
  | { kind: "open"; engine: HashEngine; how: CoreOptions }
  | { kind: "update"; buffer: Buffer; sizeBytes: number }
  | { kind: "save" }
  | { kind: "digest" };

/** Messages from the thread. */
export type Reply =
  | { kind: "opened" }
  | { kind: "free"; buffer: Buffer }
  | { kind: "saved"; state: Uint8Array | undefined }
  | { kind: "digest"; hex: string }
  | { kind: "failed"; message: string };

/**
 * Opens a hasher on its own thread, which ends with it.
 *
 * @param worker The thread; tests replace it.
 */
export async function openWorker(
  settings: HasherSettings,
  worker: Worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }),
): Promise<Sha256> {
  const hasher = new WorkerSha256(settings, worker);
  try {
    await hasher.opened;
  } catch (error) {
    hasher[Symbol.dispose]();
    throw error;
  }
  return hasher;
}

class WorkerSha256 implements Sha256 {
  bytesHashed = 0;
  /** Settles once the thread has loaded its core. */
  readonly opened: Promise<void>;
  readonly #worker: Worker;
  readonly #deadlineMs: number;
  readonly #free: Buffer[];
  readonly #opening = Promise.withResolvers<void>();
  /** Pending answers in the order of their requests, which the thread keeps. */
  readonly #saves: PromiseWithResolvers<Uint8Array | undefined>[] = [];
  readonly #digest = Promise.withResolvers<string>();
  #borrower: PromiseWithResolvers<Buffer> | undefined;
  #failure: Error | undefined;

  constructor(settings: HasherSettings, worker: Worker) {
    const { engine, bufferBytes, buffers, state, libcrypto, deadlineMs } = settings;
    this.#worker = worker;
    this.#deadlineMs = deadlineMs;
    this.#free = Array.from({ length: buffers }, () => new Uint8Array(bufferBytes));
    this.opened = this.#answer(this.#opening.promise);
    // A failure may come while no caller waits for these; the next call reports it.
    this.#digest.promise.catch(() => {});
    this.opened.catch(() => {});
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`Cannot hash: the hashing thread died: ${event.message}`));
    };
    this.#send({ kind: "open", engine, how: { state, libcrypto } });
  }

  borrow(): Promise<Buffer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const buffer = this.#free.pop();
    if (buffer) return Promise.resolve(buffer);
    this.#borrower = Promise.withResolvers();
    return this.#answer(this.#borrower.promise);
  }

  update(buffer: Buffer, sizeBytes: number): void {
    this.bytesHashed += sizeBytes;
    this.#send({ kind: "update", buffer, sizeBytes }, [buffer.buffer]);
  }

  save(): Promise<Uint8Array | undefined> {
    if (this.#failure) return Promise.reject(this.#failure);
    const answer = Promise.withResolvers<Uint8Array | undefined>();
    this.#saves.push(answer);
    this.#send({ kind: "save" });
    return this.#answer(answer.promise);
  }

  digest(): Promise<string> {
    this.#send({ kind: "digest" });
    return this.#answer(this.#digest.promise);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
    this.#fail(new Error("Cannot hash: the hasher is closed"));
  }

  /** Waits for the thread. If it does not answer in time, the hasher has failed for good. */
  #answer<T>(answer: Promise<T>): Promise<T> {
    const deadlineMs = this.#deadlineMs;
    const message = `Cannot hash: the hashing thread was silent for ${deadlineMs} ms`;
    return withDeadline(answer, { deadlineMs, error: () => this.#fail(new Error(message)) });
  }

  #send(request: Request, transfer: Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #receive(reply: Reply): void {
    switch (reply.kind) {
      case "opened":
        return this.#opening.resolve();
      case "free": {
        const borrower = this.#borrower;
        this.#borrower = undefined;
        if (borrower) borrower.resolve(reply.buffer);
        else this.#free.push(reply.buffer);
        return;
      }
      case "saved":
        return this.#saves.shift()?.resolve(reply.state);
      case "digest":
        return this.#digest.resolve(reply.hex);
      case "failed":
        this.#fail(new RangeError(reply.message));
    }
  }

  #fail(error: Error): Error {
    this.#failure ??= error;
    this.#opening.reject(error);
    this.#borrower?.reject(error);
    this.#borrower = undefined;
    for (const save of this.#saves.splice(0)) save.reject(error);
    this.#digest.reject(error);
    return error;
  }
}
