/**
 * The body of one request, read when it is needed: most wait until the caller is known, but a
 * signature may cover the bytes themselves.
 *
 * @module
 */

import { sha256Hex } from "../../lib/digest.ts";
import { requireSha256 } from "../auth/content_digest.ts";
import { HttpProblem } from "../problem.ts";
import { readBody } from "./body.ts";
import type { BodyLimits } from "./timed_body.ts";
import type { BodyBudget, BodyBytes } from "./body_budget.ts";

export interface RequestBodyOptions {
  readonly limits: BodyLimits;
  readonly bodies: BodyBudget;
  /** Whether a handler reads the body as a stream, after the caller is known. */
  readonly isStreamed: boolean;
}

/** Dispose of it when the body is not in memory any more. */
export class RequestBody implements Disposable {
  readonly #request: Request;
  readonly #options: RequestBodyOptions;
  #counted: BodyBytes | undefined;
  #bytes: Uint8Array | undefined;

  constructor(request: Request, options: RequestBodyOptions) {
    this.#request = request;
    this.#options = options;
  }

  /**
   * Reads the whole body.
   *
   * @param options.client Whose part of the budget it takes.
   * @param options.needsDigest Whether it must have a digest, unless its own was asked for before.
   */
  async bytes(
    { client, needsDigest }: { readonly client: string; readonly needsDigest: boolean },
  ): Promise<Uint8Array> {
    if (this.#bytes !== undefined) return this.#bytes;
    const { limits, bodies } = this.#options;
    const counted = this.#counted = bodies.open(client);
    return this.#bytes = await readBody(this.#request, limits, { needsDigest, counted });
  }

  /**
   * The SHA-256 of the body in hex. A streamed body has not come yet: then it is the declared one,
   * which its handler compares with the bytes.
   *
   * @throws {HttpProblem} 401 if a streamed body declares none.
   */
  async sha256(client: string): Promise<string> {
    if (!this.#options.isStreamed) {
      return sha256Hex(await this.bytes({ client, needsDigest: false }));
    }
    const field = this.#request.headers.get("content-digest");
    if (field !== null) return requireSha256(field);
    const detail = "Cannot authenticate: a long body needs a Content-Digest, and the signature " +
      "is of that digest";
    throw new HttpProblem(401, "unauthenticated", detail);
  }

  [Symbol.dispose](): void {
    this.#counted?.[Symbol.dispose]();
    this.#bytes = undefined;
  }
}
