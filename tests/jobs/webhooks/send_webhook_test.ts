import assert from "node:assert/strict";
import type { ClaimedDelivery } from "../../../src/db/webhooks/deliveries.ts";
import { ConfigError } from "../../../src/errors.ts";
import { parseReceiver, type Resolve } from "../../../src/jobs/webhooks/receiver.ts";
import {
  type SendOptions,
  sendWebhook,
  type Sent,
} from "../../../src/jobs/webhooks/send_webhook.ts";
import { isPublicAddress, parseAddresses } from "../../../src/lib/addresses.ts";
import { makeCertificates } from "../../support/postgres/certificates.ts";
import { startReceiver } from "../../support/webhooks/receiver.ts";

const NONE = parseAddresses(undefined), LOOPBACK = parseAddresses("127.0.0.1");
const LOCAL: Resolve = () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]);

async function send(url: string, options: Partial<SendOptions> = {}): Promise<Sent> {
  const delivery: ClaimedDelivery = {
    ...{ deliveryId: "msg_1", webhookId: "wh_1", payload: '{"type":"t"}', url, attempt: 1 },
    secrets: [`whsec_${new Uint8Array(32).toBase64()}`],
  };
  const signal = new AbortController().signal;
  return await sendWebhook(delivery, { allowed: LOOPBACK, resolve: LOCAL, signal, ...options });
}

Deno.test("isPublicAddress() knows private, loopback, link-local and embedded addresses", () => {
  const no = [
    ..."0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1".split(
      " ",
    ),
    ..."172.31.255.255 192.0.0.1 192.168.1.1 198.18.0.1 224.0.0.1 255.255.255.255 :: ::1".split(
      " ",
    ),
    ..."fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ::ffff:8.8.8.8 ::ffff:7f00:1".split(" "),
    ..."64:ff9b::a00:1 2001::1 2001:db8::1 2002:7f00:1:: 3fff::1 example 1.2.3".split(" "),
  ];
  for (const address of no) assert.equal(isPublicAddress(address), false, address);
  for (const address of ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00::1"]) {
    assert.equal(isPublicAddress(address), true, address);
  }
});

Deno.test("parseReceiver() refuses what nothing can be sent to, and spellings of addresses", () => {
  const no = [
    ..."ftp://a.test/ http://a.test/ https://u:p@a.test/ https://a.test/#x nonsense".split(" "),
    ..."https://127.0.0.1/ https://0x7f.1/ https://2130706433/ https://[::1]/ https://0/".split(
      " ",
    ),
    "https://[::ffff:127.0.0.1]/",
    `https://a.test/${"x".repeat(2_000)}`,
  ];
  for (const url of no) {
    assert.throws(() => parseReceiver(url, { allowed: NONE }), ConfigError, url);
  }
  for (const url of ["https://a.test/x?y", "https://8.8.8.8:8443/"]) {
    assert.equal(parseReceiver(url, { allowed: NONE }).href, url);
  }
  assert.equal(parseReceiver("http://127.0.0.1:1/", { allowed: LOOPBACK }).port, "1");
});

Deno.test("sendWebhook() connects to the address that was checked, under the name in the URL", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const { ca, localhost: { key, cert } } = await makeCertificates(folder);
  const [caText, ...tls] = await Promise.all(
    [ca, key, cert].map((file) => Deno.readTextFile(file)),
  );
  await using receiver = startReceiver({ key: tls[0], cert: tls[1] });
  const url = `https://localhost:${receiver.port}/hook?a=b`;
  // The second answer would be another address: it is not asked for.
  let asked = 0;
  const resolve: Resolve = () =>
    Promise.resolve([{ address: asked++ === 0 ? "127.0.0.1" : "127.0.0.9", family: 4 }]);
  const sent = await send(url, { resolve, ca: caText });
  assert.deepEqual([sent.status, sent.error, asked], [200, null, 1]);
  assert.equal(receiver.received[0].headers.host, `localhost:${receiver.port}`);
  assert.match((await send(url)).error!, /certificate/, "another authority");
  const other = await send(`https://other.test:${receiver.port}/`, { ca: caText });
  assert.match(other.error!, /altnames/, "another name");
  assert.equal(receiver.received.length, 1);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("sendWebhook() makes no connection to an address that is not allowed", async () => {
  await using receiver = startReceiver();
  const url = `http://hooks.test:${receiver.port}/`;
  for (const address of ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"]) {
    const resolve: Resolve = () =>
      Promise.resolve([{ address: "8.8.8.8", family: 4 }, { address, family: 4 }]);
    const sent = await send(url.replace("http:", "https:"), { resolve, allowed: NONE });
    assert.match(sent.error!, new RegExp(`${address} is not an address of the public internet`));
  }
  const plain = await send(url, {
    resolve: () => Promise.resolve([{ address: "8.8.8.8", family: 4 }]),
  });
  assert.match(plain.error!, /8\.8\.8\.8 may be reached by https: only/);
  assert.match((await send("https://nope.invalid/", { resolve: undefined })).error!, /ENOTFOUND/);
  assert.equal(receiver.received.length, 0);
});

Deno.test("sendWebhook() follows no redirect, reads little, and waits no longer than its deadline", async () => {
  await using receiver = startReceiver();
  const url = `${receiver.url}/hook`;
  receiver.answer = () => Response.redirect(`${receiver.url}/elsewhere`, 307);
  const redirected = await send(url);
  assert.equal(redirected.status, 307);
  assert.match(redirected.error!, /redirects are not followed/);
  assert.equal(receiver.received.length, 1);

  let sentBytes = 0;
  receiver.answer = () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          sentBytes += 65_536;
          controller.enqueue(new Uint8Array(65_536).fill(97));
        },
      }),
    );
  const endless = await send(url);
  assert.deepEqual([endless.status, endless.error, endless.answer?.length], [200, null, 500]);
  assert.ok(sentBytes < 16 * 1024 * 1024, `${sentBytes} bytes were read`);

  receiver.answer = () => new Response("later", { status: 503, headers: { "retry-after": "120" } });
  const later = await send(url);
  assert.deepEqual([later.status, later.retryAfterMs], [503, 120_000]);

  const held = Promise.withResolvers<Response>();
  receiver.answer = () => held.promise;
  assert.equal((await send(url, { deadlineMs: 100 })).error, "no answer within 100 ms");
  held.resolve(new Response());
  const silent = await send("https://hooks.test/", {
    ...{ deadlineMs: 100, resolve: () => new Promise(() => {}) },
  });
  assert.equal(silent.error, "no answer within 100 ms", "the resolver does not answer");
});

Deno.test("sendWebhook() ends an answer that does not begin, or hides its bytes from us", async () => {
  const hostile: [head: string, rest: string, error: RegExp][] = [
    ["", "HTTP/1.1 100 Continue\r\n\r\n", /too many interim answers/],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x", /it sent too much/],
    ["HTTP/1.1 200 OK\r\n", "x: y\r\n", /overflow/i],
  ];
  for (const [head, rest, error] of hostile) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const flooding = (async () => {
      using connection = await listener.accept();
      const encoder = new TextEncoder(), flood = encoder.encode(rest.repeat(4_000));
      await connection.write(encoder.encode(head));
      for (;;) await connection.write(flood);
    })().catch(() => {});
    assert.match((await send(`http://127.0.0.1:${port}/`)).error!, error);
    await flooding;
  }
});

Deno.test({
  name: "sendWebhook() names the permission that it lacks, and ends no process",
  permissions: { net: ["hooks.test"], read: true, env: true },
  fn: async () => {
    const name = await send("http://other.test:1/", { resolve: LOCAL });
    assert.match(name.error!, /it lacks --allow-net=other\.test$/);
    // Deno's node:net throws where nobody can catch it.
    const address = await send("http://hooks.test:1/", { resolve: LOCAL });
    assert.match(address.error!, /it lacks --allow-net=127\.0\.0\.1:1$/);
  },
});
