/**
 * Reads of one repo while another one publishes a large pack, and pushes that share ids with it wait.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { identityIdOf } from "../../../src/http/auth/keys.ts";
import { mintToken } from "../../../src/http/auth/token.ts";
import { createIdentity } from "../../../src/db/identities.ts";
import { createRepo } from "../../../src/db/repos.ts";
import { createToken } from "../../../src/db/tokens.ts";
import { type ServerProcess, startServer } from "../http/server_process.ts";
import { buildMpack, mpackKey, object } from "../mpack/mpacks.ts";
import { sampleBytes } from "../store/blobs.ts";
import { until } from "../until.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;
const READ_BYTES = 4_096;
/** Pause between two reads: a reader that never pauses measures its own load. */
const PAUSE_MS = 4;
const SHARED_IDS = 50;
const BATCH = 10_000;
const TOKEN_MS = 3_600_000;

/** The size of the attack. */
export interface LoadOptions {
  /** Objects of the pack that is published. */
  readonly ids: number;
  /** Pushes at once, each of which shares ids with it. */
  readonly pushes: number;
  /** Reads before, and again after the publish. */
  readonly idleReads: number;
}

/** What was measured: milliseconds of each read. */
export interface LoadResult {
  readonly idleMs: readonly number[];
  readonly busyMs: readonly number[];
  readonly publishMs: number;
  /** Pushes that were answered while the publish ran. */
  readonly pushed: number;
}

/** The value that `share` of the samples do not exceed. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Makes an identity with a repo `HANDLE/repo`; returns a function that sends requests to it. */
export async function openTenant({ fixture: { db }, url }: ServerProcess, handle: string) {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { publicKey: key } = pair as CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", key));
  const identityId = identityIdOf(publicKey), { text, tokenId, secretHash } = mintToken();
  const identity = { handle, publicKey: publicKey.toBase64(), isAgent: false, isAdmin: false };
  await createIdentity(db, { ...identity, identityId });
  const row = { tokenId, secretHash, scopes: ["read", "push"], lifetimeMs: TOKEN_MS };
  await createToken(db, { ...row, identityId });
  await createRepo(db, { owner: handle, slug: "repo" });
  const send = async (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${text}`);
    const response = await fetch(`${url}/${handle}/repo${path}`, { ...init, headers });
    await response.arrayBuffer();
    return response.status;
  };
  const push = (body: Uint8Array<ArrayBuffer>) =>
    send("/push/stream", { method: "POST", body, headers: { "x-mpack-key": mpackKey(body) } });
  return { send, push };
}

/** Runs the attack, and measures. */
export async function measurePublishLoad(options: LoadOptions): Promise<LoadResult> {
  const { ids, pushes, idleReads } = options;
  await using server = await startServer({
    isOpen: false,
    env: { MPACK_HTTP_UPLOADS: "100" },
  });
  const { fixture, fixture: { db } } = server;
  const victim = await openTenant(server, "victim"),
    attacker = await openTenant(server, "attacker");
  const content = sampleBytes(READ_BYTES, 1), path = `/objects/${mpackKey(content)}`;
  const stored = await victim.push(new Uint8Array(buildMpack({ objects: [object({ content })] })));
  assert.equal(stored, 200);
  const read = async (samples: number[]) => {
    const startedAt = performance.now();
    assert.equal(await victim.send(path), 200);
    samples.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  };
  const idleMs: number[] = [], busyMs: number[] = [];
  const readIdle = async () => {
    for (let i = 0; i < idleReads; i++) await read(idleMs);
  };
  await readIdle();
  idleMs.length = 0;
  await readIdle();

  // A pack of many small objects, of which the pushes bring some, too.
  const file = await Deno.makeTempFile({ prefix: "mpackd-test-" });
  const shared = Array.from(
    { length: SHARED_IDS },
    (_, i) => contentOf(Math.floor(i * ids / SHARED_IDS)),
  );
  await writePack(file, ids);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", MAIN, "index", file, "--repo", "attacker/repo"],
    env: { DATABASE_URL: fixture.databaseUrl, MPACK_STORE: `file://${fixture.folder}` },
    stdout: "null",
    stderr: "null",
  }).spawn();
  let isOver = false;
  const ended = child.status.then(({ code }) => {
    isOver = true;
    assert.equal(code, 0);
  });
  const isPublishing = async () => {
    const [{ running }] = await db.sql`select count(*)::int as running from pg_stat_activity
      where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
        and (query like '%mpackd_write_objects%' or query like '%mpackd_publish_2%')`;
    return running > 0;
  };
  await until("it publishes", async () => isOver || await isPublishing());
  const startedAt = performance.now();
  let pushed = 0, at = 0;
  const attacking = Array.from({ length: pushes }, async () => {
    while (!isOver) {
      const contents = [...shared, sampleBytes(24, 1_000_000 + at++)];
      const objects = contents.map((content) => object({ content }));
      await attacker.push(new Uint8Array(buildMpack({ objects })));
      pushed++;
    }
  });
  while (!isOver) await read(busyMs);
  const publishMs = performance.now() - startedAt;
  await Promise.all([ended, ...attacking]);
  await readIdle();
  await Deno.remove(file);
  return { idleMs, busyMs, publishMs, pushed };
}

const CONTENT_BYTES = 16;

/** The content of the object at this place in the pack. */
function contentOf(place: number): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(CONTENT_BYTES);
  new DataView(content.buffer).setUint32(0, place);
  return content;
}

async function writePack(path: string, objects: number): Promise<void> {
  const key = (name: string) => [0xa0 | name.length, ...new TextEncoder().encode(name)];
  const idHead = [0x82, ...key("object_id"), 0xd9, 71], contentHead = [...key("content"), 0xc4, 16];
  const rowBytes = idHead.length + 71 + contentHead.length + CONTENT_BYTES;
  using file = await Deno.open(path, { write: true, truncate: true });
  const write = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  };
  const count = [objects >>> 24, objects >>> 16 & 0xff, objects >>> 8 & 0xff, objects & 0xff];
  await write(Uint8Array.from([0x81, ...key("objects"), 0xdd, ...count]));
  for (let first = 0; first < objects; first += BATCH) {
    const rows = Math.min(BATCH, objects - first), chunk = new Uint8Array(rows * rowBytes);
    for (let i = 0; i < rows; i++) {
      const content = contentOf(first + i);
      const id = `sha256:${createHash("sha256").update(content).digest("hex")}`;
      let at = i * rowBytes;
      chunk.set(idHead, at);
      at += idHead.length;
      new TextEncoder().encodeInto(id, chunk.subarray(at));
      at += id.length;
      chunk.set(contentHead, at);
      chunk.set(content, at + contentHead.length);
    }
    await write(chunk);
  }
}
