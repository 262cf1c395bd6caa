/**
 * `mpackd identity`: manages who may use the HTTP API, and which repos each identity may push to.
 *
 * @module
 */

import type { Command } from "commander";
import { identityIdOf, publicKeyOf, readPublicKey, writeNewKey } from "../../http/auth/keys.ts";
import { grantAccess, withdrawAccess } from "../../db/collaborators.ts";
import type { Database } from "../../db/client/database.ts";
import {
  cannotCreate,
  createIdentity,
  findHandle,
  type Identity,
  listIdentities,
  revokeIdentity,
} from "../../db/identities.ts";
import { listTokens } from "../../db/tokens.ts";
import { parseRepoName, resolveRepo } from "../../db/repos.ts";
import { ConfigError } from "../../errors.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson, tell } from "../output.ts";
import { counted } from "../terminal.ts";
import { openDatabase } from "../resources.ts";

const HANDLE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

interface GrantFlags {
  readonly repo: string;
  readonly withdraw?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

interface CreateFlags {
  readonly key?: string;
  readonly publicKey?: string;
  readonly agent?: boolean;
  readonly admin?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addIdentityCommand(program: Command, context: CommandContext): void {
  const identity = program.command("identity").summary("manage the identities of the HTTP API");
  const withDatabase = (flags: { json?: boolean }, work: (db: Database) => Promise<void>) =>
    context.run(flags, async () => {
      await using opened = await openDatabase(context.config());
      await work(opened.db);
    });
  identity.command("create")
    .summary("create an identity")
    .description(
      "Create an identity, whose requests are signed with an Ed25519 key. --key names a file with " +
        "the private key and creates it if it does not exist; --public-key names a PEM file.",
    )
    .argument("<handle>", "its name, which is also the owner in its repos' names")
    .option("--key <file>", "a file with the private key; created if it does not exist")
    .option("--public-key <file>", "a file with the public key; - is stdin")
    .option("--agent", "mark it as a program")
    .option("--admin", "give it access to every repo")
    .option("--dry-run", "only say what would be created")
    .option("--json", "print it as one JSON document")
    .action((handle: string, flags: CreateFlags) =>
      withDatabase(flags, async (db) => {
        if (flags.dryRun) return await previewCreate(db, handle, flags);
        const made = await create(db, handle, flags);
        if (flags.json) await printJson(shown(made));
        else await print(`${made.handle} is ${made.identityId}`);
      })
    );
  identity.command("list")
    .summary("list identities")
    .option("--json", "print them as one JSON document")
    .action((flags: { json?: boolean }) =>
      withDatabase(flags, async (db) => {
        const all = await listIdentities(db);
        if (flags.json) return await printJson(all.map(shown));
        if (all.length === 0) tell("No identities");
        for (const found of all) await print(lineOf(found));
      })
    );
  identity.command("revoke")
    .summary("revoke an identity and its tokens")
    .argument("<handle>", "its handle, or its id")
    .option("--dry-run", "only say what would be revoked")
    .option("--json", "print it as one JSON document")
    .action((handle: string, flags: { dryRun?: boolean; json?: boolean }) =>
      withDatabase(flags, async (db) => {
        if (flags.dryRun) return await previewRevoke(db, handle, flags);
        if (!await revokeIdentity(db, handle)) throw unknown(handle);
        if (flags.json) return await printJson({ handle, revoked: true });
        await print(`${handle} is revoked`);
      })
    );
  identity.command("grant")
    .summary("let an identity push to a repo of another owner")
    .argument("<handle>", "its handle")
    .requiredOption("--repo <owner/slug>", "the repo")
    .option("--withdraw", "withdraw the right")
    .option("--dry-run", "only say what would be granted")
    .option("--json", "print it as one JSON document")
    .action((handle: string, flags: GrantFlags) =>
      withDatabase(flags, async (db) => {
        const { repoId } = await resolveRepo(db, parseRepoName(flags.repo));
        const found = await findHandle(db, handle);
        if (found === undefined) throw unknown(handle);
        const { identityId } = found, mayPush = !flags.withdraw;
        if (flags.dryRun) {
          const of = { handle, repo: flags.repo };
          if (flags.json) return await printJson({ would_grant: { ...of, may_push: mayPush } });
          return await print(
            `Would let ${handle} ${mayPush ? "" : "no longer "}push to ${flags.repo}`,
          );
        }
        if (flags.withdraw) await withdrawAccess(db, { repoId, identityId });
        else await grantAccess(db, { repoId, identityId });
        if (flags.json) {
          return await printJson({ handle, repo: flags.repo, may_push: !flags.withdraw });
        }
        await print(`${handle} may ${flags.withdraw ? "no longer " : ""}push to ${flags.repo}`);
      })
    );
}

function lineOf({ handle, identityId, isAgent, isAdmin, revokedAt }: Identity): string {
  const marks = [isAgent && "agent", isAdmin && "admin", revokedAt && "revoked"];
  return [handle, identityId, ...marks.filter(Boolean)].join("  ");
}

async function previewRevoke(
  db: Database,
  handle: string,
  { json }: { readonly json?: boolean },
): Promise<void> {
  const found = (await listIdentities(db)).find((known) =>
    known.revokedAt === null && (known.handle === handle || known.identityId === handle)
  );
  if (found === undefined) throw unknown(handle);
  const now = Date.now();
  const tokens = (await listTokens(db)).filter((token) =>
    token.handle === found.handle && token.revokedAt === null && token.expiresAt.getTime() > now
  );
  if (json) {
    const ids = tokens.map(({ tokenId }) => tokenId);
    return await printJson({ would_revoke: shown(found), tokens: ids });
  }
  await print(`Would revoke ${lineOf(found)}, and ${counted(tokens.length, "valid token")} of it`);
}

async function create(db: Database, handle: string, flags: CreateFlags): Promise<Identity> {
  const { publicKey: publicPath, agent = false, admin = false } = flags;
  const path = keyPath(handle, flags);
  if (publicPath === undefined) await makeKey(path);
  const raw = await readRaw(path, flags);
  return await createIdentity(db, {
    identityId: identityIdOf(raw),
    handle,
    publicKey: raw.toBase64(),
    isAgent: agent,
    isAdmin: admin,
  });
}

async function previewCreate(db: Database, handle: string, flags: CreateFlags): Promise<void> {
  const path = keyPath(handle, flags);
  const isNew = flags.publicKey === undefined &&
    await Deno.stat(path).then(() => false, (error) => error instanceof Deno.errors.NotFound);
  const identityId = isNew ? null : identityIdOf(await readRaw(path, flags));
  for (const known of await listIdentities(db)) {
    if (known.identityId === identityId) throw cannotCreate(handle, "its key is known");
    if (known.handle !== handle || known.revokedAt !== null) continue;
    throw cannotCreate(handle, `the handle ${handle} is in use`);
  }
  const { agent = false, admin = false } = flags;
  if (flags.json) {
    const made = { identity_id: identityId, handle, is_agent: agent, is_admin: admin };
    return await printJson({ would_create: made, new_key: isNew ? path : null });
  }
  await print(`Would create ${handle}, with ${isNew ? `a new key in ${path}` : identityId}`);
}

/** The file with the key, if all that was given can be used. */
function keyPath(handle: string, { key, publicKey: publicPath }: CreateFlags): string {
  if (!HANDLE.test(handle)) {
    throw new ConfigError(
      `Cannot use ${JSON.stringify(handle)} as a handle: it is not made of letters, digits, ` +
        "dots, dashes and underscores, at most 100",
    );
  }
  const path = publicPath ?? key;
  if (path === undefined || (publicPath !== undefined && key !== undefined)) {
    throw new ConfigError("Cannot create the identity: give either --key or --public-key");
  }
  return path;
}

async function readRaw(path: string, { publicKey }: CreateFlags) {
  return publicKey === "-"
    ? publicKeyOf("stdin", await new Response(Deno.stdin.readable).text())
    : await readPublicKey(path);
}

async function makeKey(path: string): Promise<void> {
  try {
    await writeNewKey(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.AlreadyExists) return;
    throw new ConfigError(`Cannot write the key "${path}": ${(cause as Error).message}`, { cause });
  }
}

function shown({ identityId, handle, isAgent, isAdmin, createdAt, revokedAt }: Identity) {
  return {
    identity_id: identityId,
    handle,
    is_agent: isAgent,
    is_admin: isAdmin,
    created_at: createdAt,
    revoked_at: revokedAt,
  };
}

function unknown(handle: string): ConfigError {
  return new ConfigError(
    `Cannot find a valid identity ${JSON.stringify(handle)}: "mpackd identity list" lists them`,
  );
}
