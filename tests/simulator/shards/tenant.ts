/**
 * One owner's clients: each repo is pushed to, commit by commit; what was acknowledged is read again and
 * again; what was never proved, and what belongs to others, is asked for, too.
 *
 * @module
 */

import type { Database } from "../../../src/db/client/database.ts";
import { MadeHistory, type MadePack } from "../../support/history/make_history.ts";
import { buildMpack, mpackKey, object } from "../../support/mpack/mpacks.ts";
import { insertForeign } from "../../support/shards/catalog_with.ts";
import { insist, pause } from "../waits.ts";
import type { ServerProcesses } from "./server_processes.ts";

/** A push that is tried again for so long ends the run. */
const PUSH_MS = 10 * 60_000;
const REQUEST_MS = 30_000;
/** Answers that say nothing about what is there. */
const BUSY = [429, 500, 502, 503, 504];

/** A repo of a tenant. */
export interface TenantRepo {
  readonly repoId: string;
  readonly owner: string;
  readonly slug: string;
}

/** A commit that was acknowledged. */
export interface Pushed {
  readonly repo: TenantRepo;
  readonly commitId: string;
  readonly objectId: string;
  readonly content: Uint8Array<ArrayBuffer>;
  readonly mpackKey: string;
}

/** How to reach what the tenant has. */
export interface TenantOptions {
  readonly owner: string;
  readonly token: string;
  /** How many. */
  readonly repos: number;
  readonly processes: ServerProcesses;
  readonly catalog: Database;
  /** Of the store. */
  readonly folder: string;
}

/** An owner and its clients. */
export class Tenant {
  readonly owner: string;
  readonly repos: readonly TenantRepo[];
  readonly pushed: Pushed[] = [];
  readonly problems: string[] = [];
  reads = 0;
  readonly #options: TenantOptions;

  private constructor(options: TenantOptions, repos: readonly TenantRepo[]) {
    this.#options = options;
    this.owner = options.owner;
    this.repos = repos;
  }

  /** Makes its repos, which are private. */
  static async open(options: TenantOptions): Promise<Tenant> {
    const { owner } = options, repos: TenantRepo[] = [], tenant = new Tenant(options, repos);
    for (let i = 0; i < options.repos; i++) {
      const slug = `${owner}-${i + 1}`;
      const { value } = await tenant.#ask("/api/repos", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ owner, name: slug, visibility: "private" }),
      });
      repos.push({ repoId: JSON.parse(value).repoId, owner, slug });
    }
    return tenant;
  }

  /** Pushes and reads until the signal fires, and then until each push has been acknowledged. */
  async run(all: readonly Tenant[], signal: AbortSignal): Promise<void> {
    await Promise.all([
      ...this.repos.map((repo, i) => this.#keepPushing(repo, { isQueueing: i % 2 === 1, signal })),
      this.#keepReading(all, signal),
      this.#keepLying(signal),
    ]);
  }

  async #keepPushing(
    repo: TenantRepo,
    { isQueueing, signal }: { readonly isQueueing: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const history = new MadeHistory();
    for (let n = 0; !signal.aborted; n++) {
      const text = `${repo.slug} ${n} ${"x".repeat(n % 500)}`;
      const commitId = history.commit({ files: { [`file-${n % 7}`]: text }, author: this.owner });
      const pack = history.pack({ commits: [commitId] });
      const isThere = isQueueing && n % 2 === 1
        ? await this.#queue(repo, pack, commitId)
        : await this.#push(repo, pack, commitId);
      if (!isThere) return;
      const content = new TextEncoder().encode(text);
      const { mpackKey: key } = pack;
      this.pushed.push({ repo, commitId, objectId: mpackKey(content), content, mpackKey: key });
      await pause(20);
    }
  }

  /** Pushes until the server has acknowledged it. */
  async #push(
    repo: TenantRepo,
    { bytes, mpackKey: key }: MadePack,
    head: string,
  ): Promise<boolean> {
    const until = performance.now() + PUSH_MS;
    for (;;) {
      const { status, value } = await this.#ask(
        `/${repo.owner}/${repo.slug}/push/stream?branch=main&head=${encodeURIComponent(head)}`,
        {
          method: "POST",
          headers: { "x-mpack-key": key, "content-type": "application/octet-stream" },
          body: new Uint8Array(bytes),
        },
      );
      if (status === 200) return true;
      if (!BUSY.includes(status) || performance.now() > until) {
        return this.#wrong(`a push to ${repo.slug} was refused: ${status} ${value}`);
      }
      await pause(100);
    }
  }

  /** Puts the pack into the store and a job into the catalog's queue, as another program does. */
  async #queue(
    repo: TenantRepo,
    { bytes, mpackKey: key }: MadePack,
    head: string,
  ): Promise<boolean> {
    const { catalog, folder } = this.#options, dir = `${folder}/mpacks/${repo.repoId}`;
    await Deno.mkdir(dir, { recursive: true });
    await Deno.writeFile(`${dir}/${key}.part`, bytes);
    await Deno.rename(`${dir}/${key}.part`, `${dir}/${key}`);
    const jobId = `foreign ${key}`;
    const payload = JSON.stringify({ mpack_key: key, branch: "main", head });
    await insist(() =>
      insertForeign(catalog, { jobId, repoId: repo.repoId, payload }).catch((error) => {
        // Its answer was lost the first time.
        if (error.code !== "23505") throw error;
      })
    );
    const until = performance.now() + PUSH_MS;
    for (;;) {
      const [job] = await insist(() =>
        catalog.query<{ status: string; error: string | null }>("look at a job")`
          select status, last_error::text as error from musehub_background_jobs
          where job_id = ${jobId}`
      );
      if (job.status === "done") return true;
      if (job.status === "failed" || performance.now() > until) {
        return this.#wrong(`the job for ${key} of ${repo.slug} is ${job.status}: ${job.error}`);
      }
      await pause(100);
    }
  }

  async #keepReading(all: readonly Tenant[], signal: AbortSignal): Promise<void> {
    const others = all.filter((tenant) => tenant !== this);
    for (let n = 0; !signal.aborted; n++) {
      await pause(10);
      const tenant = n % 4 === 0 ? others[n % others.length] : this;
      const one = tenant.pushed[Math.floor(Math.random() * tenant.pushed.length)];
      if (one === undefined) continue;
      const { repo, objectId, commitId, content } = one, path = `/${repo.owner}/${repo.slug}`;
      const isObject = Math.random() < 0.7;
      const { status, bytes } = await this.#ask(
        isObject ? `${path}/objects/${objectId}` : `${path}/commits/${commitId}`,
        {},
      );
      if (BUSY.includes(status)) continue;
      this.reads++;
      if (tenant !== this) {
        if (status !== 404) this.#wrong(`${this.owner} got ${status} for ${repo.slug}`);
      } else if (status !== 200) {
        this.#wrong(`${repo.slug}: ${isObject ? objectId : commitId} answered ${status}`);
      } else if (isObject && !isSame(bytes, content)) {
        this.#wrong(`${repo.slug}: ${objectId} has other bytes`);
      }
    }
  }

  /** Pushes bytes under the key of others, and asks for what is in them. */
  async #keepLying(signal: AbortSignal): Promise<void> {
    for (let n = 0; !signal.aborted; n++) {
      const repo = this.repos[n % this.repos.length], path = `/${repo.owner}/${repo.slug}`;
      const content = new TextEncoder().encode(`lie ${this.owner} ${n}`);
      const { status } = await this.#ask(`${path}/push/stream`, {
        method: "POST",
        headers: {
          "x-mpack-key": mpackKey(content),
          "content-type": "application/octet-stream",
        },
        body: new Uint8Array(buildMpack({ objects: [object({ content })] })),
      });
      if (status === 200) this.#wrong(`${repo.slug}: a pack under another's key was taken`);
      const read = await this.#ask(`${path}/objects/${mpackKey(content)}`, {});
      if (read.status === 200) this.#wrong(`${repo.slug}: an object was shown without its proof`);
      await pause(300);
    }
  }

  /** Sends a request; 503 stands for a server that is not there. */
  async #ask(
    path: string,
    init: RequestInit,
  ): Promise<{ status: number; value: string; bytes: Uint8Array }> {
    try {
      const { processes, token } = this.#options;
      const response = await processes.fetch(path, {
        ...init,
        headers: { authorization: `Bearer ${token}`, ...init.headers },
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      const bytes = new Uint8Array(await response.arrayBuffer());
      return { status: response.status, value: new TextDecoder().decode(bytes), bytes };
    } catch (error) {
      return { status: 503, value: String(error), bytes: new Uint8Array() };
    }
  }

  #wrong(what: string): false {
    this.problems.push(what);
    return false;
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}
