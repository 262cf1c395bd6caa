/**
 * Checks Deno's permissions before the work starts.
 *
 * In the middle of a job a missing permission would look like a transient error and be retried for
 * half an hour. On a database socket it would end the process without advice.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Database } from "../db/client/database.ts";
import { ConfigError } from "../errors.ts";
import type { BlobStore } from "../stream/store/blob_store.ts";

type Permission =
  | Deno.NetPermissionDescriptor & { readonly host: string }
  | Deno.ReadPermissionDescriptor & { readonly path: string }
  | Deno.WritePermissionDescriptor & { readonly path: string }
  | Deno.SysPermissionDescriptor & { readonly kind: "hostname" };

/** The permissions to connect to the database. A Unix socket needs none. */
export function databasePermissions({ sockets }: Pick<Database, "sockets">): Permission[] {
  return sockets.places.filter(({ path }) => path === undefined)
    .map(({ host, port }) => netPermission(host, port));
}

/** The permissions to read from the store, or also to write to it. */
export async function storePermissions(
  store: BlobStore,
  options: { readonly isWriting: boolean },
): Promise<Permission[]> {
  const url = new URL(store.url);
  if (url.protocol === "file:") {
    const path = fileURLToPath(url);
    const names = options.isWriting ? ["read", "write"] as const : ["read"] as const;
    return names.map((name) => ({ name, path }));
  }
  // The presigned URL shows where requests go: the bucket may be part of the host name.
  const { url: signed } = (await store.presignPut("any", { expiresSeconds: 1 }))!;
  const { hostname, port, protocol } = new URL(signed);
  return [netPermission(hostname, port || (protocol === "https:" ? 443 : 80))];
}

/** The permission to load a command or the hashing thread: the folder of the modules. */
export function sourcePermissions(): Permission[] {
  const source = new URL("..", import.meta.url);
  // Modules that are compiled in or remote are not files.
  if (Deno.build.standalone || source.protocol !== "file:") return [];
  return [{ name: "read", path: fileURLToPath(source).replace(/\/$/, "") }];
}

/** The further permission to run jobs: their rows name the host. */
export function jobPermissions(): Permission[] {
  return [{ name: "sys", kind: "hostname" }];
}

/**
 * Requests permissions. On a terminal Deno asks the user.
 *
 * @throws {ConfigError} If one is denied; names the flag of each.
 */
export function requirePermissions(permissions: readonly Permission[]): void {
  const denied = permissions.filter((wanted) =>
    Deno.permissions.requestSync(wanted).state !== "granted"
  );
  if (denied.length === 0) return;
  throw new ConfigError(`Cannot start without more permissions: ${denied.map(flagOf).join(" ")}`);
}

function netPermission(host: string, port: number | string): Permission {
  const isAddress6 = host.includes(":") && !host.startsWith("[");
  return { name: "net", host: `${isAddress6 ? `[${host}]` : host}:${port}` };
}

function flagOf(permission: Permission): string {
  const value = "host" in permission
    ? permission.host
    : "kind" in permission
    ? permission.kind
    : permission.path;
  return `--allow-${permission.name}=${value}`;
}
