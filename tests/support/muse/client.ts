/**
 * A client of the tests' own that speaks the protocol of MuseHub's: the same requests in the same
 * order, with the same headers.
 *
 * @module
 */

import { decode, encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { request } from "node:http";
import { type Bundle, MuseRepo } from "./repo.ts";

const CHUNK_OBJECTS = 400, PARALLEL = 4, LARGE_BYTES = 64 * 1024, NEGOTIATED = 64;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024, SHOWN_CHARACTERS = 400;

/** An answer that is none of 2xx, as the client shows it. */
export class Refused extends Error {
  constructor(readonly status: number, readonly text: string) {
    super(`HTTP ${status}: ${text.slice(0, SHOWN_CHARACTERS)}`);
  }
}

export interface Refs {
  readonly repo_id: string;
  readonly domain: string;
  readonly default_branch: string;
  readonly branch_heads: Readonly<Record<string, string>>;
}

export interface PushOptions {
  readonly force?: boolean;
  /** Ids that the client believes the remote has, beside the heads of `refs`. */
  readonly alsoHave?: readonly string[];
}

/** One client and its repo. */
export class MuseClient {
  /** Requests sent so far, as `METHOD route`. */
  readonly sent: string[] = [];
  readonly repo: MuseRepo;
  readonly #url: string;
  readonly #token: string | undefined;

  /** @param url The remote, `http://HOST/OWNER/SLUG`. */
  constructor(url: string, token?: string, repo: MuseRepo = new MuseRepo()) {
    this.#url = url;
    this.#token = token;
    this.repo = repo;
  }

  /** Clones without a token, as the client does; returns undefined if the repo is empty. */
  static async clone(url: string): Promise<MuseClient | undefined> {
    const client = new MuseClient(url), { branch_heads: heads } = await client.refs();
    const names = Object.keys(heads);
    if (names.length === 0) return undefined;
    client.repo.apply(await client.fetchBundle(Object.values(heads), []));
    for (const [name, head] of Object.entries(heads)) {
      client.repo.branches.set(name, head);
      client.repo.tracked.set(name, head);
    }
    return client;
  }

  refs(): Promise<Refs> {
    return this.send("GET", "refs");
  }

  fetchBundle(want: readonly string[], have: readonly string[]): Promise<Bundle> {
    return this.send("POST", "fetch", { want, have });
  }

  /** Pushes the head of a branch. */
  async push(branch: string, { force = false, alsoHave = [] }: PushOptions = {}): Promise<string> {
    const { repo } = this, head = repo.branches.get(branch)!;
    const remote = await this.refs().catch(() => undefined);
    if (remote?.branch_heads[branch] === head) return head;
    const candidates = [
      ...Object.values(remote?.branch_heads ?? {}),
      ...repo.tracked.values(),
      ...alsoHave,
    ];
    const have = new Set(candidates.filter((id) => id !== head && repo.commits.has(id)));
    const commits = repo.walk(head, have);
    const snapshots = [...new Set(commits.map(({ snapshot_id }) => snapshot_id))].sort()
      .map((id) => repo.snapshots.get(id)!);
    const ids = snapshots.flatMap(({ manifest }) => Object.values(manifest));
    const object_ids = [...new Set(ids)].sort();
    await this.#pushObjects(object_ids);
    const answer = await this.send("POST", "push", {
      bundle: { commits, snapshots, objects: [] },
      branch,
      force,
    });
    assert.equal(answer.ok, true);
    const tracked = answer.branch_heads[branch] ?? head;
    repo.tracked.set(branch, tracked);
    return tracked;
  }

  async #pushObjects(object_ids: readonly string[]): Promise<void> {
    const { contents } = this.repo;
    const { missing } = await this.send("POST", "filter-objects", { object_ids });
    const large = missing.filter((id: string) => contents.get(id)!.length > LARGE_BYTES);
    if (large.length > 0) {
      const body = { object_ids: large, direction: "put" };
      const { presigned } = await this.send("POST", "presign", body);
      assert.deepEqual(presigned, {});
    }
    const chunks: (readonly string[])[] = [];
    for (let at = 0; at < missing.length; at += CHUNK_OBJECTS) {
      chunks.push(missing.slice(at, at + CHUNK_OBJECTS));
    }
    const sendAll = async () => {
      for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
        const objects = chunk.map((id) => ({ object_id: id, content: contents.get(id)! }));
        const { stored, skipped } = await this.send("POST", "push/objects", { objects });
        assert.equal(stored + skipped, objects.length);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, sendAll));
  }

  /** Fetches a branch, with every local commit as `have`; returns its head. */
  async fetch(branch: string): Promise<string> {
    const { branch_heads: { [branch]: head } } = await this.refs();
    assert.ok(head, `the remote has no branch ${branch}`);
    const { repo } = this;
    if (repo.tracked.get(branch) === head) return head;
    repo.apply(await this.fetchBundle([head], [...repo.commits.keys()]));
    repo.tracked.set(branch, head);
    return head;
  }

  /** Negotiates and fetches a branch, and fast-forwards or merges; returns the new head. */
  async pull(branch: string): Promise<string> {
    const { branch_heads: { [branch]: head } } = await this.refs();
    const { repo } = this, local = [...repo.commits.keys()];
    let have: readonly string[] = local;
    for (let at = 0; at < local.length; at += NEGOTIATED) {
      const round = local.slice(at, at + NEGOTIATED);
      const asked = this.send("POST", "negotiate", { want: [head], have: round });
      const { ack, ready } = await asked.catch(() => ({ ack: [], ready: undefined }));
      if (ready === undefined) break;
      if (!ready) continue;
      have = ack.length > 0 ? ack : round;
      break;
    }
    repo.apply(await this.fetchBundle([head], have));
    repo.tracked.set(branch, head);
    const mine = repo.branches.get(branch);
    if (mine === undefined || repo.isAncestor(mine, head)) {
      repo.branches.set(branch, head);
      return head;
    }
    if (repo.isAncestor(head, mine)) return mine;
    const files = { ...repo.files(mine), ...repo.files(head) };
    return repo.commit(branch, files, { parents: [mine, head], message: "merge" });
  }

  /**
   * Sends one request.
   *
   * @throws {Refused} If the answer is none of 2xx.
   */
  // deno-lint-ignore no-explicit-any -- callers know the answer of a route
  send(method: string, path: string, value?: unknown): Promise<any> {
    this.sent.push(`${method} ${path}`);
    const body = value === undefined ? undefined : encode(value);
    const headers = {
      "accept-encoding": "identity",
      "user-agent": "Python-urllib/3.13",
      "accept": "application/x-msgpack, application/json",
      "connection": "close",
      ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      ...(body === undefined
        ? {}
        : { "content-type": "application/x-msgpack", "content-length": String(body.length) }),
    };
    return new Promise((resolve, reject) => {
      const outgoing = request(`${this.#url}/${path}`, { method, headers }, async (answer) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of answer) chunks.push(chunk);
        const bytes = new Uint8Array(Buffer.concat(chunks)), status = answer.statusCode!;
        if (status < 200 || status > 299) {
          return reject(new Refused(status, new TextDecoder().decode(bytes)));
        }
        if (!answer.complete) return reject(new Error("the answer was cut"));
        if (bytes.length > MAX_ANSWER_BYTES) return reject(new Error("the answer is too long"));
        resolve(bytes.length === 0 ? {} : decode(bytes));
      });
      outgoing.on("error", reject).end(body);
    });
  }
}
