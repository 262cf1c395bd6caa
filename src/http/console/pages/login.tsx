/** @jsxImportSource hono/jsx */
import type { Page } from "../page.ts";

/** Asks for a token. */
export function loginPage(problem?: string): Page {
  return {
    title: "Sign in",
    body: (
      <div class="login">
        <h1>Sign in</h1>
        {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
        <form method="post" action="/ui/login">
          <label for="token">Token</label>
          <input id="token" name="token" type="password" autocomplete="off" required autofocus />
          <button type="submit">Sign in</button>
        </form>
        <p class="soft">
          Make one with{" "}
          <code>mpackd token create HANDLE</code>. Scope read sees your repos and jobs, push acts on
          them, admin sees and does all.
        </p>
      </div>
    ),
  };
}

/** Says why there is no page. */
export function problemPage(title: string, detail: string): Page {
  return {
    title,
    body: (
      <>
        <h1>{title}</h1>
        <p class="problem">{detail}</p>
        <p>
          <a href="/ui">Back to the overview</a>
        </p>
      </>
    ),
  };
}
