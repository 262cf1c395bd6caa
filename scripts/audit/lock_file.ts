/**
 * What a lock file says about the packages it pins.
 *
 * @module
 */

/** The part of a lock file of Deno (version 5) that is checked. */
export interface LockFile {
  readonly version: string;
  /** Versions by what was asked for: `npm:zod@4.6.7` is `4.6.7`. */
  readonly specifiers?: Readonly<Record<string, string>>;
  readonly npm?: Readonly<Record<string, LockedPackage>>;
}

interface LockedPackage {
  /** SHA-512 of the archive: `sha512-` and Base64. */
  readonly integrity?: string;
  /** It has scripts that npm would run when it is installed. */
  readonly scripts?: boolean;
}

/** The part of a `deno.json` that is checked. */
export interface Project {
  readonly imports?: Readonly<Record<string, string>>;
  readonly scopes?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly allowScripts?: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
}

const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/;
const EXACT = /^npm:(@[\w.-]+\/)?[\w.-]+@(\d+\.\d+\.\d+(-[\w.]+)?)(\/.*)?$/;
/** The sections whose packages are checked. Others, such as `jsr` and `remote`, are not used here. */
const SECTIONS = ["version", "specifiers", "npm", "workspace"];

/** Lists what is wrong with the packages that a lock file pins. */
export function checkIntegrity(lock: LockFile): string[] {
  const wrong = Object.keys(lock).filter((name) => !SECTIONS.includes(name))
    .map((name) => `it has the section "${name}", which is not checked`);
  if (lock.version !== "5") wrong.push(`its version is ${lock.version}, not 5`);
  for (const [name, { integrity }] of Object.entries(lock.npm ?? {})) {
    if (!SHA512.test(integrity ?? "")) wrong.push(`${name} has no SHA-512`);
  }
  return wrong;
}

/** Lists the dependencies that a project does not pin to the version that is locked. */
export function checkPins({ imports = {}, scopes = {} }: Project, lock: LockFile): string[] {
  const wanted = [imports, ...Object.values(scopes)].flatMap((map) => Object.values(map));
  return wanted.flatMap((specifier) => {
    const [, , version] = EXACT.exec(specifier) ?? [];
    if (version === undefined) return [`${specifier} is not pinned to one version of npm`];
    const [, name] = /^(npm:@?[^@]+@[^/]+)/.exec(specifier)!;
    const locked = lock.specifiers?.[name]?.split("_")[0];
    return locked === version ? [] : [`${specifier} is locked as ${locked}`];
  });
}

/** Lists the packages with lifecycle scripts that a project does not deny, and those it allows. */
export function checkScripts({ allowScripts = {} }: Project, lock: LockFile): string[] {
  const { allow = [], deny = [] } = allowScripts;
  const scripted = Object.entries(lock.npm ?? {}).filter(([, { scripts }]) => scripts)
    .map(([name]) => `npm:${name.split("_")[0]}`);
  return [
    ...allow.map((name) => `${name} may run its lifecycle scripts`),
    ...scripted.filter((name) => !deny.includes(name))
      .map((name) => `${name} has lifecycle scripts, and allowScripts.deny does not name it`),
    ...deny.filter((name) => !scripted.includes(name))
      .map((name) => `allowScripts.deny names ${name}, which is not locked with scripts`),
  ];
}

/** The versions of each package: `{ zod: ["4.6.7"] }`. */
export function packagesOf(locks: readonly LockFile[]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const key of new Set(locks.flatMap(({ npm = {} }) => Object.keys(npm)))) {
    // "@a/b@1.2.3_c@4.5.6": what follows the "_" tells apart copies with other peers.
    const [, name, version] = /^(@?[^@]+)@([^_]+)/.exec(key)!;
    const versions = found[name] ??= [];
    if (!versions.includes(version)) versions.push(version);
  }
  return found;
}
