/**
 * As whom to talk to a server.
 *
 * @module
 */

import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { ConfigError } from "../../errors.ts";
import { readSigner } from "../../http/auth/keys.ts";
import type { Signer } from "../../http/auth/signature.ts";
import { addSecrets } from "../../lib/redact.ts";
import { tell } from "../output.ts";
import { loginFor, readSaved } from "./saved.ts";
import { readSecret } from "./secret.ts";

/** The options that say as whom. */
export interface AccountFlags {
  readonly key?: string;
  readonly tokenFile?: string;
  readonly token?: string;
}

/** A bearer token, a key, or neither. */
export interface Account {
  readonly token?: string;
  readonly signer?: Signer;
}

/** Adds the options. */
export function withAccountOptions(command: Command): Command {
  return command
    .option("--key <file>", "the private key that signs the requests (see identity, login)")
    .option("--token-file <file>", "a file with a bearer token instead; - is stdin (see token)")
    .addOption(
      command.createOption("--token <token>", "a bearer token, which others on the machine see")
        .hideHelp(),
    );
}

/**
 * Opens the account for a URL: that of the options, else that of `mpackd login`, else none.
 *
 * @throws {ConfigError} If several are named, or one cannot be read.
 */
export async function openAccount(
  url: string,
  { key, tokenFile, token }: AccountFlags,
  config: Config,
): Promise<Account> {
  if ([key, tokenFile, token].filter((given) => given !== undefined).length > 1) {
    throw new ConfigError("Cannot identify: give one of --key and --token-file");
  }
  if (token !== undefined) {
    tell("Warning: others on this machine see --token; use --token-file, or mpackd login");
    return withToken(token);
  }
  if (tokenFile !== undefined) return withToken(await readSecret(tokenFile));
  if (key !== undefined) return { signer: await readSigner(key) };
  const login = loginFor(await readSaved(config).catch(withoutRight), url);
  if (login === undefined) return {};
  return "token" in login ? withToken(login.token) : { signer: await readSigner(login.key) };
}

function withToken(token: string): Account {
  addSecrets([token]);
  return { token };
}

/** A process that may not read the file has no logins. */
function withoutRight(error: unknown) {
  if (error instanceof Deno.errors.NotCapable) return { logins: {}, remotes: {} };
  throw error;
}
