/**
 * `mpackd quota set|list|remove`: what owners and repos may have.
 *
 * @module
 */

import type { Command } from "commander";
import { quotaDefaultsOf } from "../../../config/quotas.ts";
import type { Limits, QuotaName } from "../../../db/quotas/quota.ts";
import { hasQuota, listUsage, type TenantUsage, UNLIMITED } from "../../../db/quotas/quotas.ts";
import { ConfigError } from "../../../errors.ts";
import {
  changePlacedQuota,
  listPlacedUsage,
  openTenant,
  removePlacedQuota,
} from "../../../maintenance/quotas.ts";
import type { CommandContext } from "../../command.ts";
import { parseBytes, parseCount } from "../../flags.ts";
import { print, printJson, tell, tellUnreachable } from "../../output.ts";
import { quotaJson, quotaText } from "../../operate/quota_text.ts";
import { openDatabase } from "../../resources.ts";
import { formatBytes, formatCount } from "../../terminal.ts";

/** Publishes of millions of rows take minutes. */
const WAIT_MS = 2 * 60_000;

const NAMES: readonly QuotaName[] = ["bytes", "objects", "packs", "pushes"];

type SetFlags = { readonly [Name in QuotaName]?: string } & {
  readonly dryRun?: boolean;
  readonly json?: boolean;
};

interface ListFlags {
  readonly minPercent: string;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addQuotaCommand(program: Command, context: CommandContext): void {
  const quota = program.command("quota")
    .summary("limit what owners and repos may have")
    .description(
      "Limit what owners and repos may have. Pushes over a limit are refused before anything is " +
        "stored, with the code quota-exceeded. From 80 % on, pushes are warned.",
    );
  quota.command("set")
    .description(
      "Set limits of an owner (all of their repos together) or of one repo. Those not named stay.",
    )
    .argument("<owner[/slug]>", "the owner, or the repo")
    .option("--bytes <size>", "of all packs, such as 10GiB; or unlimited")
    .option("--objects <n>", "in all packs, each as often as it was pushed; or unlimited")
    .option("--packs <n>", "that are indexed; or unlimited")
    .option("--pushes <n>", "an hour; or unlimited")
    .option("--dry-run", "only say what would be set")
    .option("--json", "print it as one JSON document")
    .action((text: string, flags: SetFlags) =>
      context.run(flags, async (signal) => {
        const limits = limitsOf(flags), defaults = quotaDefaultsOf(context.config());
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        if (flags.dryRun) {
          const { db, tenant } = await openTenant(opened.shards, text);
          const [now] = await listUsage(db, { defaults, tenant });
          return await showPreview(text, limits, now, flags);
        }
        const options = { waitMs: WAIT_MS, signal };
        const { db, tenant, isExact } = await changePlacedQuota(
          opened.shards,
          text,
          limits,
          options,
        );
        if (!isExact) {
          tell("A publish that began before is still running: the next audit counts it");
        }
        await show(await listUsage(db, { defaults, tenant }), flags);
      })
    );
  quota.command("list")
    .description("List who has limits, and how much of them is used; the fullest first.")
    .option("--min-percent <n>", "only those that use so much of a limit", "0")
    .option("--json", "print them as one JSON document")
    .action((flags: ListFlags) =>
      context.run(flags, async () => {
        const minPercent = parseCount("--min-percent", flags.minPercent);
        const defaults = quotaDefaultsOf(context.config());
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const found = await listPlacedUsage(opened.shards, { defaults, minPercent });
        const { tenants, unreachable } = found;
        tellUnreachable(unreachable);
        if (tenants.length === 0) tell("No quotas");
        await show(tenants, flags);
      })
    );
  quota.command("remove")
    .description(
      "Remove the limits of an owner or a repo. The defaults of the settings apply again.",
    )
    .argument("<owner[/slug]>", "the owner, or the repo")
    .option("--dry-run", "only say what would be removed")
    .option("--json", "print it as one JSON document")
    .action((text: string, flags: { readonly dryRun?: boolean; readonly json?: boolean }) =>
      context.run(flags, async () => {
        await using opened = await openDatabase(context.config(), { maxConnections: 1 });
        const { shards } = opened;
        if (flags.dryRun) {
          const { db, tenant } = await openTenant(shards, text);
          if (!await hasQuota(db, tenant)) throw none(text);
          const [usage] = await listUsage(db, {
            defaults: quotaDefaultsOf(context.config()),
            tenant,
          });
          if (flags.json) return await printJson({ name: text, would_remove: quotaJson(usage) });
          return await print(`Would remove the quota of ${quotaText(usage)}`);
        }
        if (!await removePlacedQuota(shards, text)) throw none(text);
        if (flags.json) await printJson({ name: text, removed: true });
        else await print(`Removed the quota of ${text}`);
      })
    );
}

/** Says what would be set, and what is there now. */
async function showPreview(
  text: string,
  limits: Limits,
  now: TenantUsage | undefined,
  { json }: { readonly json?: boolean },
): Promise<void> {
  const limitOf = (limit: number | undefined) => limit === UNLIMITED ? null : limit;
  if (json) {
    const would = NAMES.filter((name) => limits[name] !== undefined)
      .map((name) => [name, limitOf(limits[name])]);
    return await printJson({
      name: text,
      would_set: Object.fromEntries(would),
      now: now === undefined ? null : quotaJson(now),
    });
  }
  const all = NAMES.flatMap((name) => {
    const limit = limits[name];
    if (limit === undefined) return [];
    const shown = name === "bytes" ? formatBytes(limit) : formatCount(limit);
    return [`${name} ${limit === UNLIMITED ? "unlimited" : shown}`];
  });
  await print(`Would set for ${text}: ${all.join(", ")}`);
  await print(`  now: ${now === undefined ? "nothing is limited or counted" : quotaText(now)}`);
}

function none(text: string): ConfigError {
  return new ConfigError(`Cannot remove the quota of ${text}: it has none`);
}

function limitsOf(flags: SetFlags): Limits {
  const limits: { [Name in QuotaName]?: number } = {};
  for (const name of NAMES) {
    const text = flags[name], flag = `--${name}`;
    if (text === undefined) continue;
    const parse = name === "bytes" ? parseBytes : parseCount;
    limits[name] = text === "unlimited" ? UNLIMITED : parse(flag, text);
  }
  if (Object.keys(limits).length > 0) return limits;
  throw new ConfigError(
    "Cannot set a quota: name at least one of --bytes, --objects, --packs and --pushes",
  );
}

async function show(tenants: readonly TenantUsage[], { json }: { json?: boolean }): Promise<void> {
  if (json) return await printJson(tenants.map(quotaJson));
  for (const tenant of tenants) await print(quotaText(tenant));
}
