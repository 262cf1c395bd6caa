/**
 * `mpackd token`: bearer tokens, for clients that cannot sign.
 *
 * @module
 */

import type { Command } from "commander";
import { mintToken, type Scope, SCOPES } from "../../http/auth/token.ts";
import { findHandle } from "../../db/identities.ts";
import { createToken, listTokens, revokeToken, type TokenRow } from "../../db/tokens.ts";
import { ConfigError } from "../../errors.ts";
import { parseDuration } from "../flags.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson, tell } from "../output.ts";
import { openDatabase } from "../resources.ts";

interface CreateFlags {
  readonly scopes: string;
  readonly expires: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addTokenCommand(program: Command, context: CommandContext): void {
  const token = program.command("token").summary("manage the bearer tokens of the HTTP API");
  token.command("create")
    .summary("create a token, which is printed only once")
    .argument("<handle>", "the identity")
    .option("--scopes <scopes>", "its rights: read, push, admin", "read,push")
    .option("--expires <duration>", "how long it is valid, such as 12h or 30d", "30d")
    .option("--dry-run", "only say what would be created")
    .option("--json", "print it as one JSON document")
    .action((handle: string, flags: CreateFlags) =>
      context.run(flags, async () => {
        const lifetimeMs = parseDuration("--expires", flags.expires);
        const scopes = parseScopes(flags.scopes);
        await using opened = await openDatabase(context.config());
        const identity = await findHandle(opened.db, handle);
        if (identity === undefined) {
          throw new ConfigError(
            `Cannot find a valid identity ${
              JSON.stringify(handle)
            }: "mpackd identity create" makes ` +
              'one, "mpackd identity list" lists them',
          );
        }
        if (flags.dryRun) {
          const made = { handle, scopes, lifetime_ms: lifetimeMs };
          if (flags.json) return await printJson({ would_create: made });
          return await print(
            `Would create a token of ${handle} for ${scopes.join(",")}, valid for ${flags.expires}`,
          );
        }
        const { text, tokenId, secretHash } = mintToken();
        const { identityId } = identity;
        const row = { tokenId, identityId, secretHash, scopes, lifetimeMs };
        const expiresAt = await createToken(opened.db, row);
        if (!flags.json) return await print(text);
        await printJson({ token: text, token_id: tokenId, scopes, expires_at: expiresAt });
      })
    );
  token.command("list")
    .summary("list tokens, newest first")
    .option("--json", "print them as one JSON document")
    .action((flags: { json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config());
        const all = await listTokens(opened.db);
        if (flags.json) return await printJson(all.map(shown));
        if (all.length === 0) tell("No tokens");
        for (const row of all) await print(lineOf(row));
      })
    );
  token.command("revoke")
    .summary("revoke a token")
    .argument("<id>", "the token's id, as token list shows it")
    .option("--dry-run", "only say what would be revoked")
    .option("--json", "print it as one JSON document")
    .action((id: string, flags: { dryRun?: boolean; json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config());
        if (flags.dryRun) {
          const found = (await listTokens(opened.db)).find((known) =>
            known.tokenId === id && known.revokedAt === null
          );
          if (found === undefined) throw noSuch(id);
          if (flags.json) return await printJson({ would_revoke: shown(found) });
          return await print(`Would revoke ${lineOf(found)}`);
        }
        if (!await revokeToken(opened.db, id)) {
          throw noSuch(id);
        }
        if (flags.json) return await printJson({ token_id: id, revoked: true });
        await print(`${id} is revoked`);
      })
    );
}

function lineOf({ tokenId, handle, scopes, expiresAt, revokedAt }: TokenRow): string {
  const end = revokedAt ? "revoked" : `until ${expiresAt.toISOString()}`;
  return [tokenId, handle, scopes.join(","), end].join("  ");
}

function noSuch(id: string): ConfigError {
  return new ConfigError(
    `Cannot find a valid token ${JSON.stringify(id)}: "mpackd token list" lists them`,
  );
}

function parseScopes(text: string): Scope[] {
  return text.split(",").map((word) => {
    const scope = SCOPES.find((known) => known === word.trim());
    if (scope !== undefined) return scope;
    throw new ConfigError(`Cannot use --scopes ${text}: "${word}" is not ${SCOPES.join(", ")}`);
  });
}

function shown({ tokenId, handle, scopes, createdAt, expiresAt, revokedAt }: TokenRow) {
  return {
    token_id: tokenId,
    handle,
    scopes,
    created_at: createdAt,
    expires_at: expiresAt,
    revoked_at: revokedAt,
  };
}
