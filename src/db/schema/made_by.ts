/**
 * What the migrations make, read from their statements: nobody can forget to write it down.
 *
 * @module
 */

import { migrations } from "./migrations/mod.ts";

/** A trigger that the newest schema has. */
export interface MadeTrigger {
  readonly name: string;
  readonly table: string;
  /** What makes it. */
  readonly statement: string;
}

const TRIGGER = "create or replace trigger ", FUNCTION = "create or replace function ";

/** The triggers, by name. */
export function madeTriggers(): MadeTrigger[] {
  const byName = new Map<string, MadeTrigger>();
  for (const text of after(TRIGGER)) {
    const statement = TRIGGER + text.slice(0, text.indexOf(";")).replaceAll(/\s+/g, " ");
    const [, name] = /^(\w+)/.exec(text)!, [, table] = / on (\w+)/.exec(statement)!;
    byName.set(name, { name, table, statement });
  }
  return [...byName.values()].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** The names of the functions. */
export function madeFunctions(): string[] {
  return [...new Set(after(FUNCTION).map((text) => /^\w+/.exec(text)![0]))].sort();
}

function after(words: string): string[] {
  return migrations.flatMap(({ sql }) => sql.split(words).slice(1));
}
