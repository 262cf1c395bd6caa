/**
 * The values of all settings, and what is computed from them.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { withPrefix } from "../lib/ids.ts";
import { mostSimilar } from "../lib/similar.ts";
import { DEFAULT_LIMITS, type MpackLimits } from "../stream/mpack/limits.ts";
import { type Config, SETTINGS } from "./settings.ts";

export { type Config, SETTINGS } from "./settings.ts";

/**
 * Reads every setting from `env`.
 *
 * @throws {ConfigError} If a value is not acceptable; names the variable and what it takes.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const entries = Object.entries(SETTINGS).map(([name, setting]) => {
    const given = env[setting.env];
    // Compose files set a variable to nothing when they mean "not set".
    if (given === undefined || given === "") return [name, setting.fallback];
    refuseControlCharacters(setting.env, given);
    return [name, setting.parse(given)];
  });
  return Object.freeze(Object.fromEntries(entries));
}

/** A line feed in a key would end up in a header, and the runtime's error prints that header. */
function refuseControlCharacters(env: string, value: string): void {
  // deno-lint-ignore no-control-regex
  const at = value.search(/[\x00-\x1f\x7f]/);
  if (at < 0) return;
  const code = value.charCodeAt(at).toString(16).padStart(4, "0");
  throw new ConfigError(
    `Cannot use ${env}: its character ${at + 1} is the control character U+${code.toUpperCase()}`,
  );
}

const PREFIX = "MPACK_";

/**
 * Refuses variables that look like settings and are none: a misspelt one would be ignored.
 *
 * @throws {ConfigError} That names the first one, and the setting that was meant.
 */
export function refuseUnknownSettings(names: Iterable<string>): void {
  const known = new Set(Object.values(SETTINGS).map(({ env }) => env));
  for (const name of names) {
    if (!name.startsWith(PREFIX) || known.has(name)) continue;
    const meant = mostSimilar(name, known);
    throw new ConfigError(
      `Cannot use ${name}: there is no such setting; ` +
        (meant === undefined ? '"mpackd config" lists all' : `did you mean ${meant}?`),
    );
  }
}

const LIMIT_NAMES = Object.keys(DEFAULT_LIMITS) as (keyof MpackLimits)[];

/** The limits of one mpack, from the settings. */
export function limitsOf(config: Config): MpackLimits {
  const limits: Record<string, number> = {};
  for (const name of LIMIT_NAMES) limits[name] = config[name];
  return limits as unknown as MpackLimits;
}

/** The store key of a repo's mpack. */
export function blobKeyOf(template: string, repoId: string, mpackKey: string): string {
  return template.replaceAll("{repo_id}", () => repoId).replaceAll("{mpack_key}", () => mpackKey);
}

/** The store key of a repo's materialized object. The id may lack its prefix. */
export function objectKeyOf(template: string, repoId: string, objectId: string): string {
  const name = withPrefix(objectId);
  return template.replaceAll("{repo_id}", () => repoId).replaceAll("{object_id}", () => name);
}
