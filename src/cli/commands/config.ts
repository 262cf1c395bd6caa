/**
 * `mpackd config`: lists every setting with its value.
 *
 * @module
 */

import type { Command } from "commander";
import { SETTINGS } from "../../config/config.ts";
import { redact } from "../../lib/redact.ts";
import type { CommandContext } from "../command.ts";
import { print, printJson } from "../output.ts";

/** Adds the command. */
export function addConfigCommand(program: Command, context: CommandContext): void {
  program.command("config")
    .summary("list every setting with its value")
    .description("List every setting: its variable, value, default, unit, range and purpose.")
    .option("--json", "print them as one JSON document")
    .option("--markdown", "print a Markdown table")
    .action((flags: { json?: boolean; markdown?: boolean }) =>
      context.run(flags, async () => {
        const config: Values = { ...context.config() };
        if (flags.markdown) await print(settingsTable());
        else if (flags.json) await printJson(settingsJson(config));
        else await print(settingsText(config));
      })
    );
}

type Values = Readonly<Record<string, unknown>>;

function shown(value: unknown, isSecret: boolean): string {
  if (value === undefined) return "(not set)";
  // A URL may hold a password although it must not.
  return isSecret ? "(set, not shown)" : redact(String(value));
}

function settingsJson(config: Values) {
  return Object.entries(SETTINGS).map(([name, setting]) => {
    const { env, unit, range, fallback, doc, isSecret } = setting;
    const value = config[name];
    const isHidden = isSecret && value !== undefined;
    return {
      env,
      value: isHidden ? null : typeof value === "string" ? redact(value) : value ?? null,
      default: fallback ?? null,
      unit,
      range,
      doc,
    };
  });
}

function settingsText(config: Values): string {
  return Object.entries(SETTINGS).map(([name, setting]) => {
    const { env, unit, range, fallback, doc, isSecret } = setting;
    const value = shown(config[name], isSecret);
    const isDefault = config[name] === fallback;
    const usual = isDefault ? "" : ` (default ${shown(fallback, false)})`;
    return `${env} = ${value}${usual}\n    ${doc}. ${unit}${range ? `, ${range}` : ""}.`;
  }).join("\n");
}

/**
 * The settings as a Markdown table.
 * @internal Exported for tests.
 */
export function settingsTable(): string {
  const rows = Object.values(SETTINGS).map(({ env, unit, range, fallback, doc }) => {
    const usual = fallback === undefined ? "" : `\`${fallback}\``;
    return `| \`${env}\` | ${unit} | ${range} | ${usual} | ${doc} |`;
  });
  return [
    "| variable | unit | range | default | what |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join(
    "\n",
  );
}
