/**
 * What Deno allows this process, asked before it is missed.
 *
 * In the middle of a job a missing permission looks like trouble that may pass, and would be tried
 * again for half an hour; on a database's socket it ends the process without a word of advice.
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

/** What connecting to the database needs. */
export function databasePermissions({ sockets }: Pick<Database, "sockets">): Permission[] {
  // A Unix socket is not of the network.
  return sockets.places.filter(({ path }) => path === undefined)
    .map(({ host, port }) => netPermission(host, port));
}

/** What reading from the store needs, and writing to it. */
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
  // Where requests go: with the bucket in the host's name or not.
  const { url: signed } = (await store.presignPut("any", { expiresSeconds: 1 }))!;
  const { hostname, port, protocol } = new URL(signed);
  return [netPermission(hostname, port || (protocol === "https:" ? 443 : 80))];
}

/** What loading a command, or the hashing thread, needs: the modules' folder. */
export function sourcePermissions(): Permission[] {
  const source = new URL("..", import.meta.url);
  // Compiled or remote, the modules are no files.
  if (Deno.build.standalone || source.protocol !== "file:") return [];
  return [{ name: "read", path: fileURLToPath(source).replace(/\/$/, "") }];
}

/** What running jobs needs besides: the name left on their rows. */
export function jobPermissions(): Permission[] {
  return [{ name: "sys", kind: "hostname" }];
}

/**
 * Asks for permissions, on a terminal the person there.
 *
 * @throws {ConfigError} That names the flag of each one that is denied.
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
