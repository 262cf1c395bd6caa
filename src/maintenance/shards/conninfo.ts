/**
 * Writes a database URL as libpq's connection string, which a PostgreSQL server connects with.
 *
 * @module
 */

import { parseUrl } from "../../db/client/parse_url.ts";

/** A server that does not answer must not hang the other one's workers. */
const CONNECT_TIMEOUT_SECONDS = 10;

/**
 * The words that libpq has for a URL. Files of certificates are on the machine of the server that
 * connects. The schema and mpackd's own words are left out.
 *
 * @throws {ConfigError} If it is no URL that mpackd can use.
 */
export function conninfoOf(url: string): string {
  const { places, user, password, database, ssl, sessionTarget } = parseUrl(url);
  const words: Record<string, string | undefined> = {
    host: places.map(({ host }) => host).join(","),
    port: places.map(({ port }) => port).join(","),
    dbname: database,
    user,
    password: password || undefined,
    sslmode: ssl.mode,
    sslrootcert: ssl.rootCert,
    sslcert: ssl.cert,
    sslkey: ssl.key,
    target_session_attrs: places.length > 1 ? sessionTarget : undefined,
    connect_timeout: String(CONNECT_TIMEOUT_SECONDS),
  };
  return Object.entries(words).filter(([, value]) => value !== undefined)
    .map(([word, value]) => `${word}='${value!.replace(/['\\]/g, "\\$&")}'`).join(" ");
}

/** The schema that a URL names. */
export function schemaOf(url: string): string | undefined {
  return parseUrl(url).parameters.search_path;
}

/** The same URL with a schema. */
export function withSchema(url: string, schema: string): string {
  const [place, words = ""] = url.split(/\?(.*)/s);
  const all = new URLSearchParams(words);
  all.set("search_path", schema);
  return `${place}?${all}`;
}
