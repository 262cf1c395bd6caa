/**
 * `main.ts config`: every setting with its value.
 *
 * @module
 */

import type { Command } from "commander";
import { SETTINGS } from "../../config/config.ts";
import type { CommandContext } from "../command.ts";

/** Adds the command. */
export function addConfigCommand(program: Command, context: CommandContext): void {
  program.command("config")
    .summary("list every setting with its value")
    .description("List every setting: variable, value, default, unit, range, and what it does.")
    .option("--json", "print them as one JSON document")
    .option("--markdown", "print the table of docs/settings.md")
    .action((flags: { json?: boolean; markdown?: boolean }) =>
      context.run(flags, () => {
        const config: Values = { ...context.config() };
        if (flags.markdown) console.log(settingsTable());
        else if (flags.json) console.log(JSON.stringify(settingsJson(config)));
        else console.log(settingsText(config));
        return Promise.resolve();
      })
    );
}

type Values = Readonly<Record<string, unknown>>;

function shown(value: unknown, isSecret: boolean): string {
  if (value === undefined) return "(not set)";
  return isSecret ? "(set, not shown)" : String(value);
}

function settingsJson(config: Values) {
  return Object.entries(SETTINGS).map(([name, setting]) => {
    const { env, unit, range, fallback, doc, isSecret } = setting;
    const value = config[name];
    const isHidden = isSecret && value !== undefined;
    return {
      env,
      value: isHidden ? null : value ?? null,
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

/** The settings as a Markdown table. */
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
