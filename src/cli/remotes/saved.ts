/**
 * The file with saved remotes and logins, which only its owner may read.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import type { Config } from "../../config/config.ts";
import { ConfigError } from "../../errors.ts";
import { addSecrets } from "../../lib/redact.ts";
import { trimEndOf } from "../../lib/text/trim.ts";

const FILE = "remotes.json";
const OWNER_ONLY = 0o600, OWNER_ONLY_FOLDER = 0o700;
const OF_OTHERS = 0o077;

/** How to identify oneself to a server: by a bearer token, or by the file of a private key. */
const Login = z.union([
  z.strictObject({ token: z.string() }),
  z.strictObject({ key: z.string() }),
]);

const Saved = z.strictObject({
  /** By the URL of a server. */
  logins: z.record(z.string(), Login),
  /** The URLs of repos by their names. */
  remotes: z.record(z.string(), z.string()),
});

export type Login = z.output<typeof Login>;
export type Saved = z.output<typeof Saved>;

/**
 * Where the file is: under `XDG_CONFIG_HOME`, or `~/.config`.
 *
 * @throws {ConfigError} If neither is known.
 */
function savedPath({ configHome }: Config): string {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  const folder = configHome ?? (home && join(home, ".config"));
  if (folder) return join(folder, "mpackd", FILE);
  throw new ConfigError("Cannot find saved remotes: neither XDG_CONFIG_HOME nor HOME is set");
}

/**
 * Reads what was saved; nothing if there is no file.
 *
 * @throws {ConfigError} If others may read the file, or it is damaged.
 */
export async function readSaved(config: Config): Promise<Saved> {
  const path = savedPath(config);
  let text: string;
  try {
    const { mode } = await Deno.stat(path);
    if (mode !== null && (mode & OF_OTHERS) !== 0 && Deno.build.os !== "windows") {
      throw new ConfigError(`Cannot use ${path}: others may read it; chmod 600 ${path}`);
    }
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { logins: {}, remotes: {} };
    throw error;
  }
  const saved = parse(path, text);
  addSecrets(
    Object.values(saved.logins).map((login) => "token" in login ? login.token : undefined),
  );
  return saved;
}

function parse(path: string, text: string): Saved {
  try {
    return Saved.parse(JSON.parse(text));
  } catch {
    // The cause may quote a token.
    throw new ConfigError(`Cannot use ${path}: it is damaged; remove it and log in again`);
  }
}

/** Changes what is saved. The file is replaced as a whole. */
export async function changeSaved(
  config: Config,
  change: (saved: Saved) => void,
): Promise<void> {
  const path = savedPath(config), saved = await readSaved(config), part = `${path}.part`;
  change(saved);
  await Deno.mkdir(join(path, ".."), { recursive: true, mode: OWNER_ONLY_FOLDER });
  await Deno.remove(part).catch(() => {});
  const text = `${JSON.stringify(saved, null, 2)}\n`;
  await Deno.writeTextFile(part, text, { createNew: true, mode: OWNER_ONLY });
  await Deno.rename(part, path);
}

/**
 * A URL of a server or a repo in the form in which it is saved.
 *
 * @throws {ConfigError} If it is no URL of HTTP, or has a password, a query or a fragment.
 */
export function remoteUrl(text: string): string {
  const cannot = (why: string) => new ConfigError(`Cannot use ${shown(text)} as a server: ${why}`);
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) {
    throw cannot("it is not like https://example.com");
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw cannot('a URL is seen by others; save the credential with "mpackd login"');
  }
  if (url.search !== "" || url.hash !== "") throw cannot("it has a query or a fragment");
  return trimEndOf(url.origin + url.pathname, "/");
}

function shown(text: string): string {
  const [scheme, rest] = text.slice(0, 2_000).split("://", 2), at = rest?.lastIndexOf("@") ?? -1;
  return (at < 0 ? text : `${scheme}://***${rest.slice(at)}`).slice(0, 200);
}

/** The login for a URL: that of the server with the longest URL that it begins with. */
export function loginFor({ logins }: Saved, url: string): Login | undefined {
  const [server] = Object.keys(logins)
    .filter((server) => url === server || url.startsWith(`${server}/`))
    .sort((a, b) => b.length - a.length);
  return server === undefined ? undefined : logins[server];
}
