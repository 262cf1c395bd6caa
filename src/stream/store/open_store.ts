/**
 * Opens the store that a URL names.
 *
 * @module
 */
import { ConfigError } from "../../errors.ts";
import type { BlobStore } from "./blob_store.ts";
import { openFolder } from "./open_folder.ts";
import type { RetryOptions } from "./s3/backoff.ts";
import { openS3Store } from "./s3/s3_store.ts";

/** What does not belong in a URL: the credentials, and how long to wait. */
export interface OpenStoreOptions extends RetryOptions {
  /** The access key's id. Without both keys, the credentials are looked for as Amazon's SDK does. */
  readonly accessKeyId?: string;
  /** The secret key. */
  readonly secretAccessKey?: string;
  /** The session token of temporary credentials. */
  readonly sessionToken?: string;
  /** The longest silence of the store, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** How long a folder's files stay open between small reads, in milliseconds. Default 0. */
  readonly keepOpenMs?: number;
}

const S3_PARAMETERS = new Set(["endpoint", "public_endpoint", "region", "style"]);
const CREDENTIALS = [
  ["accessKeyId", "AWS_ACCESS_KEY_ID"],
  ["secretAccessKey", "AWS_SECRET_ACCESS_KEY"],
  ["sessionToken", "AWS_SESSION_TOKEN"],
] as const;
const DEFAULT_REGION = "us-east-1";

/**
 * Opens `file:///folder`, a folder's path, or
 * `s3://bucket[/prefix][?endpoint=http://host:port&public_endpoint=…&region=…&style=path|virtual]`.
 *
 * Without `endpoint` the bucket is Amazon's. Presigned URLs name `public_endpoint`, if it is given. `style` decides whether the bucket stands in the path or
 * before the host: `path` is the default with an endpoint, `virtual` without. Sends nothing.
 *
 * @throws {ConfigError} Naming the wrong part of the URL, or the missing credential.
 */
export function openStore(urlText: string, options: OpenStoreOptions = {}): BlobStore {
  if (urlText === "") throw new ConfigError("Cannot open a store: its URL is empty");
  if (/^s3:\/\//i.test(urlText)) return openBucket(urlText, options);
  const folder = openFolder(urlText, options);
  if (folder !== undefined) return folder;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(urlText)?.[1];
  throw new ConfigError(
    `Cannot open a store: the scheme ${JSON.stringify(scheme ?? "")} is neither s3 nor file`,
  );
}

function openBucket(urlText: string, options: OpenStoreOptions): BlobStore {
  // For errors: without the query and without credentials, which a user may have put there.
  const name = `s3://${urlText.slice("s3://".length).replace(/^[^/?]*@/, "").replace(/\?.*/s, "")}`;
  const refuse = (reason: string, cause?: unknown): never => {
    throw new ConfigError(`Cannot open the store ${name}: ${reason}`, { cause });
  };
  // The URL class would change or refuse a bucket's name with capitals.
  const match = /^s3:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(urlText);
  if (match === null) return refuse("its URL has a fragment");
  const [, bucket, path = "", search = ""] = match;
  if (bucket.includes("@")) return refuse("credentials do not belong in its URL");
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]$/.test(bucket) || bucket.includes("..")) {
    return refuse(`${JSON.stringify(bucket)} is not a bucket name`);
  }
  const parameters = new URLSearchParams(search);
  for (const key of parameters.keys()) {
    if (!S3_PARAMETERS.has(key)) {
      return refuse(
        `the parameter ${JSON.stringify(key)} is none of endpoint, public_endpoint, region, style`,
      );
    }
    if (parameters.getAll(key).length > 1) return refuse(`the parameter ${key} is given twice`);
  }
  const region = parameters.get("region") ?? DEFAULT_REGION;
  if (!/^[a-z0-9-]+$/i.test(region)) return refuse("region is not a word");
  const style = parameters.get("style");
  if (style !== null && style !== "path" && style !== "virtual") {
    return refuse("style is neither path nor virtual");
  }
  const given = parameters.get("endpoint");
  const endpoint = given === null ? `https://s3.${region}.amazonaws.com` : given;
  const problem = problemOfEndpoint(endpoint);
  if (problem !== undefined) return refuse(`endpoint ${problem}`);
  const publicEndpoint = parameters.get("public_endpoint") ?? undefined;
  const publicProblem = publicEndpoint === undefined
    ? undefined
    : problemOfEndpoint(publicEndpoint);
  if (publicProblem !== undefined) return refuse(`public_endpoint ${publicProblem}`);
  // The certificate for *.s3.amazonaws.com is not valid for a bucket with a dot.
  const pathStyle = style === null ? given !== null || bucket.includes(".") : style === "path";
  for (const [name, url] of Object.entries({ endpoint, public_endpoint: publicEndpoint })) {
    if (pathStyle || url === undefined || new URL(url).pathname === "/") continue;
    return refuse(`${name} has a path, so the bucket must stand in the path, too (style=path)`);
  }
  const { accessKeyId, secretAccessKey, sessionToken, ...rest } = options;
  const isGiven = Boolean(accessKeyId || secretAccessKey);
  if (isGiven && !accessKeyId) return refuse("the access key is missing (AWS_ACCESS_KEY_ID)");
  if (isGiven && !secretAccessKey) {
    return refuse("the secret key is missing (AWS_SECRET_ACCESS_KEY)");
  }
  for (const [name, env] of CREDENTIALS) {
    // fetch would print the header with its error.
    if (/^[\x21-\x7e]*$/.test(options[name] ?? "")) continue;
    return refuse(`a credential has a character that no header can hold (${env})`);
  }
  let prefix = "";
  try {
    prefix = decodeURIComponent(path.replace(/^\/|\/$/g, ""));
  } catch (error) {
    return refuse("its prefix is not percent-encoded UTF-8", error);
  }
  return openS3Store({
    ...rest,
    bucket,
    prefix,
    endpoint,
    publicEndpoint,
    region,
    pathStyle,
    ...(isGiven ? { accessKeyId, secretAccessKey, sessionToken } : {}),
  });
}

function problemOfEndpoint(endpoint: string): string | undefined {
  if (!URL.canParse(endpoint)) return "is not a URL such as http://host:port";
  const { protocol, username, password, pathname, search, hash } = new URL(endpoint);
  if (protocol !== "http:" && protocol !== "https:") return "is neither http nor https";
  if (username !== "" || password !== "") return "holds credentials";
  if (search !== "" || hash !== "") return "has a query or a fragment";
  if (pathname.includes("%")) return "has a path that needs percent-encoding";
  return undefined;
}
