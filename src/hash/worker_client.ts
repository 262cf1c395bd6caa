/**
 * The hasher in a Worker, so that hashing and decoding use one core each.
 *
 * @module
 */

import type { HashEngine, HasherSettings, Sha256 } from "./hasher.ts";

type Buffer = Uint8Array<ArrayBuffer>;

/** What the thread is asked. */
export type Request =
  | { kind: "open"; engine: HashEngine; state?: Uint8Array }
  | { kind: "update"; buffer: Buffer; sizeBytes: number }
  | { kind: "save" }
  | { kind: "digest" };

/** What it answers. */
export type Reply =
  | { kind: "opened" }
  | { kind: "free"; buffer: Buffer }
  | { kind: "saved"; state: Uint8Array | undefined }
  | { kind: "digest"; hex: string }
  | { kind: "failed"; message: string };

/**
 * Opens a hasher on a thread of its own, which ends with it.
 *
 * @param worker The thread; to be replaced in tests.
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
  /** Answers waited for, in the order they were asked; the thread keeps that order. */
  readonly #saves: PromiseWithResolvers<Uint8Array | undefined>[] = [];
  readonly #opening = Promise.withResolvers<void>();
  readonly #digest = Promise.withResolvers<string>();
  #borrower: PromiseWithResolvers<Buffer> | undefined;
  #failure: Error | undefined;

  /** Runs while an answer is waited for, and starts anew with each one that comes. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waits = 0;

  constructor({ engine, bufferBytes, buffers, state, deadlineMs }: HasherSettings, worker: Worker) {
    this.#worker = worker;
    this.#deadlineMs = deadlineMs;
    this.#free = Array.from({ length: buffers }, () => new Uint8Array(bufferBytes));
    this.opened = this.#withDeadline(this.#opening.promise);
    // A failure reaches whoever waits; when nobody does, it waits for the next call.
    this.#digest.promise.catch(() => {});
    this.opened.catch(() => {});
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`Cannot hash: the hashing thread died: ${event.message}`));
    };
    this.#send({ kind: "open", engine, state });
  }

  borrow(): Promise<Buffer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const buffer = this.#free.pop();
    if (buffer) return Promise.resolve(buffer);
    this.#borrower = Promise.withResolvers();
    return this.#withDeadline(this.#borrower.promise);
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
    return this.#withDeadline(answer.promise);
  }

  digest(): Promise<string> {
    this.#send({ kind: "digest" });
    return this.#withDeadline(this.#digest.promise);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
    this.#fail(new Error("Cannot hash: the hasher is closed"));
  }

  /** Waits for an answer, as long as the thread says anything at all within the deadline. */
  #withDeadline<T>(answer: Promise<T>): Promise<T> {
    if (this.#waits++ === 0) this.#watch();
    const settled = () => {
      if (--this.#waits === 0) clearTimeout(this.#timer);
    };
    answer.then(settled, settled);
    return answer;
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#fail(
        new Error(`Cannot hash: the hashing thread was silent for ${this.#deadlineMs} ms`),
      );
    }, this.#deadlineMs);
  }

  #send(request: Request, transfer: Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #receive(reply: Reply): void {
    if (this.#waits > 0) this.#watch();
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
        return this.#fail(new RangeError(reply.message));
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#opening.reject(error);
    this.#borrower?.reject(error);
    this.#borrower = undefined;
    for (const save of this.#saves.splice(0)) save.reject(error);
    this.#digest.reject(error);
  }
}
