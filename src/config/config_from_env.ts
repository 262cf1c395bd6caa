import { addSecrets, passwordsOf } from "../lib/redact.ts";
import { type Config, loadConfig, refuseUnknownSettings, SETTINGS } from "./config.ts";

/** Reads the settings from the environment. */
export function configFromEnv(): Config {
  // A process that may only read some variables cannot list them.
  if (Deno.permissions.querySync({ name: "env" }).state === "granted") {
    refuseUnknownSettings(Object.keys(Deno.env.toObject()));
  }
  const names = Object.values(SETTINGS).map(({ env }) => env);
  const env = Object.fromEntries(names.map((name) => [name, Deno.env.get(name)]));
  addSecrets([env.AWS_SECRET_ACCESS_KEY, env.AWS_SESSION_TOKEN, ...passwordsOf(env.DATABASE_URL)]);
  return loadConfig(env);
}
