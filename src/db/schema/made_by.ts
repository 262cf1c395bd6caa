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

const TRIGGER = "create or replace trigger ";
const FUNCTION = /create or replace function (\w+)|drop function if exists (\w+)/g;

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

/** The names of the functions that are left. */
export function madeFunctions(): string[] {
  const names = new Set<string>();
  for (const { sql } of migrations) {
    for (const [, made, dropped] of sql.matchAll(FUNCTION)) {
      if (made !== undefined) names.add(made);
      else names.delete(dropped);
    }
  }
  return [...names].sort();
}

function after(words: string): string[] {
  return migrations.flatMap(({ sql }) => sql.split(words).slice(1));
}
