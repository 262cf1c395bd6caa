/** @jsxImportSource hono/jsx */
/**
 * The console: pages for people, under `/ui`, made on the server.
 *
 * Every page works without a script. A session is a cookie made of a token; what it shows and may do
 * is what the token may.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { streamSSE } from "hono/streaming";
import type { Child } from "hono/jsx";
import { sleep } from "../../lib/sleep.ts";
import type { Caller } from "../auth/authenticate.ts";
import { bodyLimits, readBody } from "../body/body.ts";
import type { ApiContext } from "../context.ts";
import { HttpProblem, problemAnswer } from "../problem.ts";
import type { Exchange } from "../route.ts";
import { act, type Acting, auditPack, changeSchedule } from "./actions.ts";
import { Layout } from "./layout.tsx";
import { LIVE_SCRIPT } from "./live_script.ts";
import type { Page, PageMaker } from "./page.ts";
import { confirmPage, readActionForm } from "./pages/confirm.tsx";
import { job } from "./pages/job.tsx";
import { jobs } from "./pages/jobs.tsx";
import { loginPage, problemPage } from "./pages/login.tsx";
import { overview } from "./pages/overview.tsx";
import { pack } from "./pages/pack.tsx";
import { repo } from "./pages/repo.tsx";
import { repos } from "./pages/repos.tsx";
import { schedules } from "./pages/schedules.tsx";
import { settings } from "./pages/settings.tsx";
import { newWebhook } from "./pages/webhook_forms.tsx";
import { webhooks } from "./pages/webhooks.tsx";
import { SESSION_COOKIE, SESSION_SECONDS, Sessions } from "./session.ts";
import { PageReads, Written, WRITTEN_COOKIE } from "./standbys.ts";
import { STYLE } from "./style.ts";
import { actOnWebhook } from "./webhook_actions.ts";

/** Where the console is. */
export const CONSOLE_PATH = "/ui";

/** A form names at most a hundred jobs. */
const MAX_FORM_BYTES = 64 * 1024;
/** How often an open page is made again, in milliseconds. */
const LIVE_MS = 2_000;
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<rect x="1" y="3" width="14" height="10" rx="2" fill="#3b78b8"/>
<path d="M1 7h14" stroke="#fff"/></svg>`;

/** Nothing but our own style, script and forms; no frame around it. */
export const CONSOLE_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; " +
  "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
  "frame-ancestors 'none'";

/** Hono's name for what comes with a request. */
export interface ConsoleEnv {
  readonly Bindings: Exchange;
}

const PAGES: Readonly<Record<string, PageMaker>> = {
  "/": overview,
  "/jobs": jobs,
  "/jobs/:jobId": job,
  "/repos": repos,
  "/repos/:owner/:slug": repo,
  "/repos/:owner/:slug/packs/:mpackKey": pack,
  "/repos/:owner/:slug/webhooks": webhooks,
  "/repos/:owner/:slug/webhooks/new": newWebhook,
  "/schedules": schedules,
  "/settings": settings,
};

/** Makes the pages. Mount them at {@link CONSOLE_PATH}. */
export function createConsole(context: ApiContext): Hono<ConsoleEnv> {
  const sessions = new Sessions(context.uploadSecret);
  const app = new Hono<ConsoleEnv>();
  const file = (path: string, type: string, text: string) =>
    app.get(path, () => new Response(text, { headers: { "content-type": type } }));
  file("/style.css", "text/css; charset=utf-8", STYLE);
  file("/live.js", "text/javascript; charset=utf-8", LIVE_SCRIPT);
  file("/icon.svg", "image/svg+xml", ICON);

  app.get("/login", async (c) => {
    const token = c.req.query("token");
    if (token === undefined) return show(c, loginPage());
    // The link that `serve --open` prints. A link on another page must not sign anybody in.
    refuseForeign(c, context, { isLink: true });
    return await signIn(c, token);
  });
  app.post("/login", async (c) => {
    refuseForeign(c, context);
    return await signIn(c, (await readForm(c, context)).get("token") ?? "");
  });
  app.post("/logout", (c) => {
    refuseForeign(c, context);
    for (const cookie of [SESSION_COOKIE, WRITTEN_COOKIE]) {
      deleteCookie(c, cookie, { path: CONSOLE_PATH });
    }
    return c.redirect(`${CONSOLE_PATH}/login`, 303);
  });
  /** A form's page: what it does is answered with another page, or with the place of one. */
  const post = (
    path: string,
    work: (
      form: URLSearchParams,
      acting: Acting,
      c: Context<ConsoleEnv>,
    ) => Promise<string | Page> | Page,
  ) =>
    app.post(path, async (c) => {
      refuseForeign(c, context);
      const caller = await callerOf(c);
      if (caller === undefined) return toLogin(c);
      const wrote = new Set<ApiContext>();
      const next = await work(await readForm(c, context), { caller, context, wrote }, c);
      await noteWritten(c, wrote);
      if (typeof next !== "string") return show(c, next, caller);
      return c.redirect(`${CONSOLE_PATH}${next}`, 303);
    });
  post("/jobs/confirm", (form) => confirmPage(readActionForm(form)));
  post("/jobs/act", async (form, acting, c) => {
    const asked = readActionForm(form), { action, jobIds } = asked;
    const done = await act(asked, { ...acting, signal: c.req.raw.signal });
    return `/jobs?${new URLSearchParams({ action, done: `${done}`, asked: `${jobIds.length}` })}`;
  });
  post("/schedules", async (form, acting) => {
    await changeSchedule(form, acting);
    return `/schedules?${new URLSearchParams({ done: form.get("action") ?? "" })}`;
  });
  post("/webhooks", actOnWebhook);
  post("/packs/audit", async (form, acting) => {
    const jobId = await auditPack(form, acting);
    return `/jobs/${encodeURIComponent(jobId)}`;
  });
  app.get("/live", async (c) => await live(c));
  for (const [path, make] of Object.entries(PAGES)) {
    app.get(path, async (c) => {
      const caller = await callerOf(c);
      if (caller === undefined) return toLogin(c);
      return show(c, await pageFor(c, make, caller), caller);
    });
  }
  app.all("*", () => {
    throw new HttpProblem(404, "not-found", "There is no such page");
  });
  app.onError(async (error, c) => {
    const { status, headers, body } = problemAnswer(error, c.env.requestId);
    const { title, detail } = JSON.parse(body as string);
    const shown = await show(c, problemPage(title, detail), c.env.caller, status);
    const { "retry-after": retryAfter } = headers;
    if (retryAfter !== undefined) shown.headers.set("retry-after", retryAfter);
    return shown;
  });
  return app;

  /** The caller of a session; undefined without one, or if its token counts no more. */
  async function callerOf(c: Context<ConsoleEnv>): Promise<Caller | undefined> {
    const token = await sessions.open(getCookie(c, SESSION_COOKIE));
    if (token === undefined) {
      context.rateLimit.countRequest(`address ${c.env.peer.address}`);
      return undefined;
    }
    const caller = await identify(c, token);
    if (caller !== undefined) context.rateLimit.countRequest(caller.client);
    return caller;
  }

  async function identify(c: Context<ConsoleEnv>, token: string): Promise<Caller | undefined> {
    const headers = new Headers(c.req.raw.headers);
    headers.set("authorization", `Bearer ${token}`);
    const { peer } = c.env, limit = { count: () => {}, uncount: () => {} };
    try {
      const request = new Request(c.req.url, { headers });
      const caller = await context.auth.identify({
        request,
        peer,
        limit,
        // Only signatures cover a body.
        bodyDigest: () => Promise.reject(new Error("A session has no body to sign")),
      });
      if (caller.identity === undefined && !caller.isAdmin) return undefined;
      c.env.caller = caller;
      return caller;
    } catch (error) {
      if (!(error instanceof HttpProblem && error.status === 401)) throw error;
      context.rateLimit.countRequest(`address ${peer.address}`);
      return undefined;
    }
  }

  async function signIn(c: Context<ConsoleEnv>, token: string): Promise<Response> {
    const caller = await identify(c, token.trim());
    if (caller === undefined) {
      const why = "The token is unknown, expired or revoked.";
      return show(c, loginPage(why), undefined, 401);
    }
    setCookie(c, SESSION_COOKIE, await sessions.seal(token.trim()), {
      path: CONSOLE_PATH,
      httpOnly: true,
      sameSite: "Strict",
      secure: isSecure(c, context),
      maxAge: SESSION_SECONDS,
    });
    return c.redirect(CONSOLE_PATH, 303);
  }

  /** Lets what is read after this see what was written. */
  async function noteWritten(c: Context<ConsoleEnv>, wrote: ReadonlySet<ApiContext>) {
    const written = Written.of(getCookie(c, WRITTEN_COOKIE));
    await written.note(wrote);
    if (written.cookie === undefined) return;
    setCookie(c, WRITTEN_COOKIE, written.cookie, {
      path: CONSOLE_PATH,
      httpOnly: true,
      sameSite: "Strict",
      secure: isSecure(c, context),
      maxAge: SESSION_SECONDS,
    });
  }

  async function pageFor(
    c: Context<ConsoleEnv>,
    make: PageMaker,
    caller: Caller,
  ): Promise<Page> {
    const { identity, isAdmin } = caller;
    const reads = new PageReads(Written.of(getCookie(c, WRITTEN_COOKIE)));
    const page = await make({
      caller,
      viewer: isAdmin ? undefined : identity,
      params: c.req.param() as Record<string, string>,
      query: new URL(c.req.url).searchParams,
      context,
      reading: (place) => reads.at(place),
      signal: c.req.raw.signal,
    });
    return reads.behindMs === undefined ? page : { ...page, behindMs: reads.behindMs };
  }

  /** Sends the content of a page whenever it has changed. */
  async function live(c: Context<ConsoleEnv>): Promise<Response> {
    const asked = c.req.query("path") ?? "";
    const url = URL.canParse(asked, c.req.url) ? new URL(asked, c.req.url) : undefined;
    const isOurs = url?.origin === new URL(c.req.url).origin &&
      (url.pathname === CONSOLE_PATH || url.pathname.startsWith(`${CONSOLE_PATH}/`)) &&
      url.pathname !== `${CONSOLE_PATH}/live`;
    if (!isOurs) throw new HttpProblem(400, "bad-request", "Cannot watch this: it is no page");
    if (await callerOf(c) === undefined) throw new HttpProblem(401, "unauthenticated", "Sign in");
    const inner = new URL(url!);
    inner.pathname = inner.pathname.slice(CONSOLE_PATH.length) || "/";
    const signal = AbortSignal.any([
      c.req.raw.signal,
      context.signal,
      AbortSignal.timeout(context.config.httpTotalMs),
    ]);
    const { headers } = c.req.raw, env = c.env;
    return streamSSE(c, async (stream) => {
      let last: string | undefined;
      while (!signal.aborted && !stream.aborted) {
        const answer = await app.fetch(new Request(inner, { headers, redirect: "manual" }), env);
        const content = mainOf(await answer.text());
        // Signed out, revoked, or the page is gone.
        if (answer.status !== 200 || content === undefined) break;
        if (last !== undefined && content !== last) {
          await stream.writeSSE({ event: "main", data: JSON.stringify(content) });
        } else await stream.write(": still here\n\n");
        last = content;
        await sleep(LIVE_MS, signal).catch(() => {});
      }
      await stream.writeSSE({ event: "end", data: "" });
    });
  }
}

/** Refuses what a page of another origin caused: the session's cookie may come along. */
function refuseForeign(
  c: Context<ConsoleEnv>,
  { config }: ApiContext,
  { isLink = false }: { readonly isLink?: boolean } = {},
): void {
  const site = c.req.header("sec-fetch-site"), origin = c.req.header("origin");
  const ours = new URL(config.httpUrl ?? c.req.url).origin;
  // Browsers send the first only over TLS and to this machine, and no page can forge it.
  const isOurs = site !== undefined ? site === "same-origin" : origin === ours;
  // A link that was typed or opened from a terminal has no page that it came from.
  const isTyped = isLink && origin === undefined && (site === undefined || site === "none");
  if (isOurs || isTyped) return;
  throw new HttpProblem(403, "forbidden", "Cannot do this for a page of another origin");
}

function isSecure(c: Context<ConsoleEnv>, { config }: ApiContext): boolean {
  return new URL(config.httpUrl ?? c.req.url).protocol === "https:";
}

async function readForm(c: Context<ConsoleEnv>, context: ApiContext): Promise<URLSearchParams> {
  const type = c.req.header("content-type")?.split(";")[0].trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded") {
    throw new HttpProblem(415, "unsupported-media-type", "Cannot read the form: send it as one");
  }
  using counted = context.bodies.open(c.env.caller?.client ?? `address ${c.env.peer.address}`);
  const limits = bodyLimits(context.config, MAX_FORM_BYTES);
  const bytes = await readBody(c.req.raw, limits, { needsDigest: false, counted });
  return new URLSearchParams(new TextDecoder().decode(bytes));
}

function toLogin(c: Context<ConsoleEnv>): Response {
  return c.redirect(`${CONSOLE_PATH}/login`, 303);
}

async function show(
  c: Context<ConsoleEnv>,
  page: Page,
  caller?: Caller,
  status = page.status ?? 200,
): Promise<Response> {
  const document = <Layout page={page} caller={caller} path={c.req.path} />;
  const text = `<!doctype html>${await (document as Child as Promise<string>)}`;
  return new Response(text, {
    status,
    headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" },
  });
}

/** What is inside of the one `main` element of a document. */
function mainOf(html: string): string | undefined {
  const from = html.indexOf(">", html.indexOf("<main"));
  const to = html.lastIndexOf("</main>");
  return from < 0 || to < from ? undefined : html.slice(from + 1, to);
}
