/**
 * The hashing thread. Each buffer comes as a message, and its memory goes back.
 *
 * @module
 */

import type { Core } from "./core.ts";
import { openCore } from "./engine.ts";
import type { Reply, Request } from "./worker_client.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(reply: Reply, transfer?: Transferable[]): void;
};
let core: Promise<Core>;

// One message after the other, because opening the core takes time.
let queue: Promise<void> = Promise.resolve();
scope.onmessage = ({ data }) => {
  queue = queue.then(() => handle(data)).catch((error) => {
    scope.postMessage({ kind: "failed", message: String(error?.message ?? error) });
  });
};

async function handle(request: Request): Promise<void> {
  if (request.kind === "open") {
    core = openCore(request.engine, request.how);
    await core;
    return scope.postMessage({ kind: "opened" });
  }
  const hash = await core;
  switch (request.kind) {
    case "update":
      hash.update(request.buffer.subarray(0, request.sizeBytes));
      return scope.postMessage({ kind: "free", buffer: request.buffer }, [request.buffer.buffer]);
    case "save":
      return scope.postMessage({ kind: "saved", state: hash.save() });
    case "digest":
      return scope.postMessage({ kind: "digest", hex: hash.digest() });
  }
}
