/** @jsxImportSource hono/jsx */
/**
 * What is around every page.
 *
 * @module
 */

import type { Child } from "hono/jsx";
import type { Caller } from "../auth/authenticate.ts";
import type { Page } from "./page.ts";
import { durationText } from "./parts.tsx";

const PAGES = [
  ["/ui", "Overview"],
  ["/ui/jobs", "Jobs"],
  ["/ui/repos", "Repos"],
] as const;

const ADMIN_PAGES = [["/ui/schedules", "Schedules"], ["/ui/settings", "Settings"]] as const;

/** A whole document. Without a caller it has no navigation. */
export function Layout(
  { page, caller, path }: {
    readonly page: Page;
    readonly caller?: Caller;
    readonly path: string;
  },
): Child {
  const pages = caller?.isAdmin ? [...PAGES, ...ADMIN_PAGES] : PAGES;
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>{`${page.title} – mpackd`}</title>
        <link rel="stylesheet" href="/ui/style.css" />
        <link rel="icon" href="/ui/icon.svg" />
        {caller && <script src="/ui/live.js" defer></script>}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the content</a>
        <header>
          <nav aria-label="Pages">
            <span class="brand">mpackd</span>
            {caller &&
              pages.map(([href, name]) => (
                <a href={href} {...(isCurrent(path, href) ? { "aria-current": "page" } : {})}>
                  {name}
                </a>
              ))}
            {caller && (
              <form method="post" action="/ui/logout">
                <span class="soft">{caller.identity?.handle ?? "open mode"}</span>
                <button type="submit">Sign out</button>
              </form>
            )}
          </nav>
        </header>
        <main id="main" {...(page.isLive && caller ? { "data-live": "" } : {})}>{page.body}</main>
        {page.behindMs !== undefined && <footer class="soft">{behindText(page.behindMs)}</footer>}
      </body>
    </html>
  );
}

/** Outside of what is made anew: it is of when the page was opened. */
function behindText(behindMs: number): string {
  const seconds = Math.round(behindMs / 1000);
  const age = seconds === 0 ? "less than a second" : durationText(behindMs);
  return `Read on a standby, which was behind by ${age} when this page was opened.`;
}

function isCurrent(path: string, href: string): boolean {
  return href === "/ui" ? path === href : path === href || path.startsWith(`${href}/`);
}
