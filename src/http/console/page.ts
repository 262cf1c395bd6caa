/**
 * What a page of the console gets, and what it gives back.
 *
 * @module
 */

import type { Child } from "hono/jsx";
import type { Viewer } from "../../db/activity.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ApiContext } from "../context.ts";

/** One request for a page, whose caller is known. */
export interface PageCall {
  readonly caller: Caller;
  /** Whose repos are shown; undefined for an admin, who sees all. */
  readonly viewer: Viewer | undefined;
  /** Values of the path's parameters. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly context: ApiContext;
  /** The same place for a page's rows: its standby, if there is one that is new enough. */
  readonly reading: (place: ApiContext) => Promise<ApiContext>;
  readonly signal: AbortSignal;
}

/** A page without what is around it. */
export interface Page {
  readonly title: string;
  readonly body: Child;
  /** Whether a browser shows news of it while it is open. Default false. */
  readonly isLive?: boolean;
  /** The status of the answer. Default 200. */
  readonly status?: number;
  /** How old what a standby has shown may be, in milliseconds; undefined: none has. */
  readonly behindMs?: number;
}

/** Makes a page. Throws an `HttpProblem` where there is none for this caller. */
export type PageMaker = (call: PageCall) => Promise<Page>;
