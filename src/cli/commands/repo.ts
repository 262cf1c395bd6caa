/**
 * `mpackd repo list|show|create|edit|delete`.
 *
 * @module
 */

import type { Command } from "commander";
import { quotaDefaultsOf } from "../../config/quotas.ts";
import {
  findRepo,
  listRepos,
  type NewRepo,
  parseRepoName,
  type Repo,
  resolveRepo,
} from "../../db/repos.ts";
import {
  createPlacedRepo,
  deletePlacedRepo,
  editPlacedRepo,
  placeOf,
  type PlaceOptions,
} from "../../db/shards/create_repo.ts";
import { CATALOG } from "../../db/shards/shard.ts";
import { ConfigError } from "../../errors.ts";
import type { CommandContext } from "../command.ts";
import { readStats } from "../../db/stats.ts";
import { print, printJson, tell } from "../output.ts";
import { openDatabase, type OpenedDatabase } from "../resources.ts";
import { counted, formatBytes } from "../terminal.ts";

interface CreateFlags {
  readonly name?: string;
  readonly visibility?: string;
  readonly shard?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

interface DeleteFlags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addRepoCommand(program: Command, context: CommandContext): void {
  const repo = program.command("repo").summary("list, create, edit and delete repos");
  repo.command("list")
    .summary("list the repos")
    .description("List all repos by owner and slug, without the deleted ones.")
    .option("--json", "print them as one JSON document")
    .action((flags: { json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const shown: unknown[] = [];
        let isEmpty = true;
        for await (const page of listRepos(opened.db)) {
          for (const found of page) {
            isEmpty = false;
            if (flags.json) shown.push(jsonOf(found));
            else await print(textOf(found));
          }
        }
        if (flags.json) return await printJson(shown);
        if (isEmpty) tell('No repos: "mpackd repo create OWNER/SLUG" makes one');
      })
    );
  repo.command("create")
    .summary("create a repo")
    .description("Create a repo, or find the one of this name.")
    .argument("<owner/slug>", "its owner, and its name in URLs")
    .option("--name <name>", "its name for people. Default: the slug")
    .option("--visibility <word>", "public (everyone may read it) or private. Default: private")
    .option("--shard <name>", "the shard it lives in. Default: the owner's, or one with room")
    .option("--dry-run", "only say what would be created")
    .option("--json", "print it as one JSON document")
    .action((text: string, flags: CreateFlags) =>
      context.run(flags, async () => {
        const visibility = visibilityOf(flags.visibility ?? "private"), name = flags.name;
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const wanted = { ...parseRepoName(text), name, visibility };
        const options = { shard: flags.shard, defaults: quotaDefaultsOf(context.config()) };
        if (flags.dryRun) return await previewCreate(opened, wanted, options, flags);
        const { repo: found, created } = await createPlacedRepo(opened.shards, wanted, options);
        if (flags.visibility !== undefined) requireSame(found, visibility);
        if (flags.json) await printJson({ ...jsonOf(found), created });
        else await print(`${created ? "Created" : "Found"} ${textOf(found)}`);
      })
    );
  repo.command("show")
    .summary("show a repo")
    .description(
      "Show a repo: its id, its name for people, who may read it, and since when it is there.",
    )
    .argument("<owner/slug>", "the repo")
    .option("--json", "print it as one JSON document")
    .action((text: string, flags: { json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const found = await resolveRepo(opened.db, parseRepoName(text));
        if (flags.json) await printJson(jsonOf(found));
        else await print(detailsOf(found));
      })
    );
  repo.command("edit")
    .summary("change a repo's name for people, or who may read it")
    .description(
      "Change a repo's name for people, or who may read it. Owner and slug stay: clones and remotes " +
        "know the repo by them.",
    )
    .argument("<owner/slug>", "the repo")
    .option("--name <name>", "its name for people")
    .option("--visibility <word>", "public (everyone may read it) or private")
    .option("--dry-run", "only say what would be changed")
    .option("--json", "print it as it is now as one JSON document")
    .action((text: string, flags: CreateFlags) =>
      context.run(flags, async () => {
        const { name, visibility } = flags;
        if (name === undefined && visibility === undefined) {
          throw new ConfigError(`Cannot edit repo ${text}: give --name or --visibility`);
        }
        const edit = {
          name,
          ...(visibility === undefined ? {} : { visibility: visibilityOf(visibility) }),
        };
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const found = await resolveRepo(opened.db, parseRepoName(text));
        if (flags.dryRun) return await previewEdit(found, edit, flags);
        const edited = await editPlacedRepo(opened.shards, found, edit);
        if (edited === undefined) throw new ConfigError(`Cannot edit repo ${text}: it was deleted`);
        if (flags.json) await printJson(jsonOf(edited));
        else await print(detailsOf(edited));
      })
    );
  repo.command("delete")
    .summary("delete a repo")
    .description(
      "Delete a repo. It cannot be found any more, and its name stays taken. gc frees its space.",
    )
    .argument("<owner/slug>", "the repo")
    .option("--dry-run", "only say what it has")
    .option("--json", "print it as one JSON document")
    .action((text: string, flags: DeleteFlags) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const found = await resolveRepo(opened.db, parseRepoName(text));
        if (flags.dryRun) {
          const { db } = await opened.at(found.home);
          const { packs, pack_bytes, refs } = await readStats(db, found);
          if (flags.json) {
            return await printJson({ ...jsonOf(found), would_delete: { packs, pack_bytes, refs } });
          }
          return await print(
            `Would delete ${textOf(found)}\n  ${counted(packs, "mpack")}, ` +
              `${formatBytes(pack_bytes)}, with ${counted(refs, "object")}`,
          );
        }
        const deleted = await deletePlacedRepo(opened.shards, found);
        if (flags.json) await printJson({ ...jsonOf(found), deleted });
        else await print(`Deleted ${textOf(found)}`);
      })
    );
}

function requireSame({ owner, slug, visibility }: Repo, wanted: string): void {
  if (visibility === wanted) return;
  throw new ConfigError(
    `Cannot create repo ${owner}/${slug} as ${wanted}: it exists and is ${visibility}`,
  );
}

async function previewCreate(
  { db, shards }: OpenedDatabase,
  wanted: NewRepo,
  options: PlaceOptions,
  { visibility, json }: CreateFlags,
): Promise<void> {
  const found = await findRepo(db, wanted);
  if (found !== undefined) {
    if (visibility !== undefined) requireSame(found, visibility);
    if (json) return await printJson({ ...jsonOf(found), would_create: null });
    return await print(`Nothing to create: ${textOf(found)}`);
  }
  const shard = await placeOf(shards, wanted, options);
  const { owner, slug, name = slug } = wanted;
  const made = { owner, slug, name, visibility: wanted.visibility, shard: shard ?? CATALOG };
  if (json) return await printJson({ would_create: made });
  await print(`Would create ${owner}/${slug}  ${wanted.visibility}, in ${made.shard}`);
}

async function previewEdit(
  repo: Repo,
  edit: { readonly name?: string; readonly visibility?: string },
  { json }: CreateFlags,
): Promise<void> {
  const changes = (["name", "visibility"] as const)
    .filter((what) => edit[what] !== undefined && edit[what] !== repo[what]);
  if (json) {
    const would = Object.fromEntries(changes.map((what) => [what, edit[what]]));
    return await printJson({ ...jsonOf(repo), would_change: would });
  }
  const lines = changes.map((what) => `  ${what}: ${repo[what]} → ${edit[what]}`);
  const verb = lines.length === 0 ? "Nothing to change" : "Would change";
  await print([`${verb}: ${textOf(repo)}`, ...lines].join("\n"));
}

function visibilityOf(word: string): "public" | "private" {
  if (word === "public" || word === "private") return word;
  throw new ConfigError(`Cannot use --visibility ${word}: it is not public or private`);
}

function textOf({ owner, slug, visibility, repoId }: Repo): string {
  return `${owner}/${slug}  ${visibility}  ${repoId}`;
}

function detailsOf(repo: Repo): string {
  return Object.entries(jsonOf(repo)).map(([name, value]) => `${name.padEnd(10)}  ${value}`)
    .join("\n");
}

function jsonOf({ repoId, owner, slug, name, visibility, createdAt, home }: Repo) {
  return {
    repo_id: repoId,
    owner,
    slug,
    name,
    visibility,
    created_at: createdAt.toISOString(),
    ...(home === undefined ? {} : { shard: home.shard }),
  };
}
