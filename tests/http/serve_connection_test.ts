import assert from "node:assert/strict";
import { serveConnection } from "../../src/http/server/serve_connection.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const text = (value: string) => new TextEncoder().encode(value);
/** What a handler is called with, and what to look at afterwards. */
interface Scene {
  readonly client: Deno.TcpConn;
  readonly cut: AbortController;
  readonly finished: Promise<void>;
  /** One for each request: whether its answer was sent. */
  readonly sent: Promise<boolean>[];
  /** What the client reads until the end. */
  read(): Promise<string>;
}

/** Serves one connection; the client has sent `first`. */
async function open(
  first: string,
  handler: (request: Request) => Promise<Response>,
): Promise<Scene & AsyncDisposable> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const client = await Deno.connect({ hostname: "127.0.0.1", port });
  const cut = new AbortController(), sent: Promise<boolean>[] = [];
  const finished = serveConnection(await listener.accept(), {
    signal: cut.signal,
    handler: (request, isSent) => {
      sent.push(isSent.then(() => true, () => false));
      return handler(request);
    },
  }).catch(() => {});
  await client.write(text(first));
  return {
    client,
    cut,
    finished,
    sent,
    async read() {
      let answer = "";
      const buffer = new Uint8Array(65_536);
      try {
        for (let count; (count = await client.read(buffer)) !== null;) {
          answer += new TextDecoder().decode(buffer.subarray(0, count));
        }
      } catch {
        // A reset is an end, too.
      }
      return answer;
    },
    async [Symbol.asyncDispose]() {
      try {
        client.close();
      } catch {
        // The test has closed it.
      }
      await finished;
    },
  };
}

const hello = () => Promise.resolve(new Response("hello"));
const never = Promise.withResolvers<Response>();

Deno.test("serveConnection() answers each request, and ends with the connection", async () => {
  await using scene = await open(
    GET + GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    hello,
  );
  assert.equal((await scene.read()).match(/hello/g)?.length, 2);
  await scene.finished;
  assert.deepEqual(await Promise.all(scene.sent), [true, true]);
});

Deno.test("serveConnection(): its signal closes the connection at once", async (t) => {
  const endless = () =>
    Promise.resolve(
      new Response(
        new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) }),
      ),
    );
  const cases: Record<string, [string, () => Promise<Response>]> = {
    "silent": ["", hello],
    "half a head": ["GET / HT", hello],
    "half a preface": ["PRI * HTTP/2.0\r\n\r\nSM\r\n", hello],
    "a handler that runs": [GET, () => never.promise],
    "an answer that is not read": [GET, endless],
  };
  for (const [name, [first, handler]] of Object.entries(cases)) {
    await t.step(name, async () => {
      const started = Promise.withResolvers<void>();
      await using scene = await open(first, () => {
        started.resolve();
        return handler();
      });
      if (first === GET) await started.promise;
      scene.cut.abort();
      await scene.read();
      never.resolve(new Response());
      await scene.finished;
    });
  }
});

Deno.test("serveConnection() ends when the client goes, also while a handler runs", async () => {
  const started = Promise.withResolvers<void>(), answer = Promise.withResolvers<Response>();
  await using scene = await open(GET, () => {
    started.resolve();
    return answer.promise;
  });
  await started.promise;
  scene.client.close();
  answer.resolve(new Response("too late"));
  await scene.finished;
  await scene.sent[0];
});
