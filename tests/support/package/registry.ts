/**
 * A JSR registry of one package on the loopback: it takes what `deno publish` uploads and serves it
 * to `deno run`, so that the published files are the ones under test.
 *
 * @see {@link https://jsr.io/docs/api | JSR's API}
 * @module
 */

/** A running registry. Close it, or use `await using`. */
export interface Registry extends AsyncDisposable {
  /** The value of `JSR_URL` that makes Deno use it. */
  readonly url: string;
}

/** Starts an empty registry; `folder` keeps what is published. */
export function startRegistry(folder: string): Registry {
  let version: PublishedVersion | undefined;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method === "POST") {
      const name = pathname.split("/").at(-1)!;
      version = await unpack(folder, name, new Uint8Array(await request.arrayBuffer()));
      return Response.json({ id: "1", status: "success", error: null });
    }
    if (/^\/api\/.*\/versions\//.test(pathname)) {
      return Response.json({ code: "packageVersionNotFound", message: "" }, { status: 404 });
    }
    if (pathname.startsWith("/api/")) return Response.json({});
    const [, scope, name, rest] = /^\/@([^/]+)\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
    if (version === undefined || rest === undefined) return new Response(null, { status: 404 });
    if (rest === "meta.json") {
      return Response.json({ scope, name, latest: version.name, versions: { [version.name]: {} } });
    }
    if (rest === `${version.name}_meta.json`) return Response.json(version.meta);
    const path = rest.slice(version.name.length);
    if (!(path in version.meta.manifest)) return new Response(null, { status: 404 });
    const type = path.endsWith(".ts")
      ? "text/typescript"
      : path.endsWith(".json")
      ? "application/json"
      : "text/plain";
    return new Response(await Deno.readFile(folder + path), { headers: { "content-type": type } });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

interface PublishedVersion {
  readonly name: string;
  readonly meta: {
    readonly exports: Record<string, string>;
    readonly manifest: Record<string, { readonly size: number; readonly checksum: string }>;
  };
}

async function unpack(
  folder: string,
  name: string,
  tarball: Uint8Array<ArrayBuffer>,
): Promise<PublishedVersion> {
  const path = `${folder}.tgz`;
  await Deno.mkdir(folder);
  await Deno.writeFile(path, tarball);
  const { success } = await new Deno.Command("tar", { args: ["xzf", path, "-C", folder] }).output();
  if (!success) throw new Error("Cannot unpack what was published");
  const manifest: Record<string, { size: number; checksum: string }> = {};
  for await (const file of files(folder)) {
    const bytes = await Deno.readFile(folder + file);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    manifest[file] = { size: bytes.length, checksum: `sha256-${digest.toHex()}` };
  }
  const { exports } = JSON.parse(await Deno.readTextFile(`${folder}/deno.json`));
  return { name, meta: { exports, manifest } };
}

async function* files(folder: string, below = ""): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder + below)) {
    if (isDirectory) yield* files(folder, `${below}/${name}`);
    else yield `${below}/${name}`;
  }
}
