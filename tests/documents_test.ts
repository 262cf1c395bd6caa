import assert from "node:assert/strict";
import { settingsTable } from "../src/cli/commands/config.ts";
import { SETTINGS } from "../src/config/config.ts";
import { ERROR_STATUS, HTTP_STATUSES } from "../src/http/problem.ts";
import { routesTables } from "./support/routes_tables.ts";

const ROOT = new URL("../", import.meta.url);

/** Every Markdown file that people read, with its text. */
const DOCUMENTS = await readDocuments();

async function readDocuments(): Promise<ReadonlyMap<string, string>> {
  const paths: string[] = [];
  for (const folder of ["", "docs/", ".github/", ".github/ISSUE_TEMPLATE/"]) {
    for await (const { name } of Deno.readDir(new URL(folder || ".", ROOT))) {
      if (name.endsWith(".md")) paths.push(folder + name);
    }
  }
  const read = async (path: string) =>
    [path, await Deno.readTextFile(new URL(path, ROOT))] as const;
  return new Map(await Promise.all(paths.sort().map(read)));
}

/** Each match of `pattern` in each document, as "document: match". */
function* matches(pattern: RegExp): Generator<{ document: string; groups: string[] }> {
  for (const [document, text] of DOCUMENTS) {
    for (const [, ...groups] of text.matchAll(pattern)) yield { document, groups };
  }
}

Deno.test("docs/settings.md lists every setting as it is", async () => {
  await checkWritten("docs/settings.md", "settings", settingsTable());
});

Deno.test("docs/routes.md lists every route as /openapi.json describes it", async () => {
  await checkWritten("docs/routes.md", "routes", routesTables());
});

/** Compares a part of a document with what it is made from; MPACKD_UPDATE=1 writes it instead. */
async function checkWritten(document: string, part: string, made: string): Promise<void> {
  const text = DOCUMENTS.get(document)!;
  const section = new RegExp(`(<!-- ${part}:[^\\n]*-->\\n)[^]*?(<!-- /${part} -->)`);
  assert.match(text, section);
  const wanted = text.replace(section, (_, open, close) => `${open}\n${made}\n\n${close}`);
  if (Deno.env.get("MPACKD_UPDATE") === "1") {
    await Deno.writeTextFile(new URL(document, ROOT), wanted);
  } else assert.equal(squeeze(text), squeeze(wanted));
}

/** Without the padding that `deno fmt` gives tables. */
function squeeze(text: string): string {
  return text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
}

Deno.test("docs/http.md has every code of a refusal, with its statuses", () => {
  const [, table] = /\n## Refusals\n[^]*?\n\| status [^\n]*\n[^\n]*\n([^]*?)\n\n/
    .exec(DOCUMENTS.get("docs/http.md")!)!;
  const listed = [...table.matchAll(/^\| (\d+) +\| ([^|]+)\|/gm)].flatMap(([, status, codes]) =>
    codes.split(",").map((code) => `${status} ${code.trim()}`)
  );
  // Commands alone throw these two.
  const { "server-unavailable": _, "output-failed": __, ...errors } = ERROR_STATUS;
  const known = new Set([
    ...Object.entries(HTTP_STATUSES).flatMap(([code, all]) => all.map((one) => `${one} ${code}`)),
    ...Object.entries(errors).map(([code, status]) => `${status} ${code}`),
    "429 quota-exceeded",
  ]);
  assert.deepEqual(listed.sort(), [...known].sort());
});

Deno.test("each relative link in a document leads to a file, and its fragment to a heading", async () => {
  const broken: string[] = [];
  for (const { document, groups: [target] } of matches(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path, fragment] = target.split("#");
    const url = new URL(path || document, path ? new URL(document, ROOT) : ROOT);
    const text = await Deno.readTextFile(url).catch(() => undefined) ??
      await Deno.stat(url).then(() => "", () => undefined);
    const isThere = text !== undefined && (!fragment || anchors(text).includes(fragment));
    if (!isThere) broken.push(`${document}: ${target}`);
  }
  assert.deepEqual(broken, []);
});

/** The fragments that GitHub gives the headings of a document. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("each path that a document names is there", async () => {
  const missing: string[] = [];
  const pattern =
    /`((?:src|tests|scripts|docs|bench|examples|\.ci|\.github)\/[\w./@-]*|\w+\.(?:ts|md|json))`/g;
  for (const { document, groups: [path] } of matches(pattern)) {
    const isThere = await exists(path) || await exists(new URL(path, new URL(document, ROOT)).href);
    if (!isThere) missing.push(`${document}: ${path}`);
  }
  assert.deepEqual(missing, []);
});

function exists(path: string): Promise<boolean> {
  return Deno.stat(new URL(path, ROOT)).then(() => true, () => false);
}

Deno.test("each task that a document names is in deno.json", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const unknown = [...matches(/(?:deno(?:@[\d.]+)? task|-A -q) ([\w:]+)/g)]
    .filter(({ groups: [task] }) => !(task in tasks));
  assert.deepEqual(unknown, []);
});

Deno.test("each setting that a document names exists", async () => {
  // Amazon's own names are read by its provider chain.
  const chain = await Deno.readTextFile(new URL("src/stream/store/s3/credentials.ts", ROOT));
  const known = [
    ...Object.values(SETTINGS).map(({ env }) => env),
    ...chain.match(/\bAWS_[A-Z_]+[A-Z]\b/g)!,
  ];
  const unknown = [...matches(/\b((?:MPACK|AWS|DATABASE)_[A-Z_0-9]*[A-Z0-9])\b(?!_\*)/g)]
    .filter(({ groups: [name] }) => !known.includes(name));
  assert.deepEqual(unknown, []);
});

Deno.test("each metric that docs/operations.md names is one", async () => {
  const source = await Deno.readTextFile(new URL("src/jobs/worker/worker_metrics.ts", ROOT));
  const known = [...source.matchAll(/name: "(\w+)"/g)].map(([, name]) => `mpackd_${name}`);
  const table = /\n\| metric[^]*?\n\n/.exec(DOCUMENTS.get("docs/operations.md")!)![0];
  const named = table.match(/mpackd_\w+/g)!;
  const unknown = named.filter((name) => !known.includes(name.replace(/_total$/, "")));
  assert.deepEqual(unknown, []);
});

Deno.test("each command that a document shows is one, with the options it is shown with", async () => {
  const shown = new Map<string, Set<string>>();
  for (const [, text] of DOCUMENTS) {
    for (const [, block] of text.matchAll(/```(?:sh|console)\n([^]*?)```/g)) {
      const lines = block.replaceAll("\\\n", " ").split("\n");
      for (const line of lines) {
        const [, call] = /^(?:\$ )?(?:[A-Z_]+=\S+ )*mpackd ([^#]*)/.exec(line) ?? [];
        if (call === undefined) continue;
        const command =
          /^[a-z]+(?: (?:list|show|adopt|retry|cancel|purge|pause|resume|create|revoke|grant|delete|add|run|remove|test|deliveries|set|move|drain))?/
            .exec(call)?.[0] ?? "";
        const options = shown.get(command) ?? new Set();
        for (const [option] of call.matchAll(/--[a-z-]+/g)) options.add(option);
        shown.set(command, options);
      }
    }
  }
  assert(shown.size >= 15, `${shown.size} commands`);
  const wrong: string[] = [];
  for (const [command, options] of shown) {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "main.ts", ...command.split(" "), "--help"],
      cwd: ROOT,
    }).output();
    const help = new TextDecoder().decode(stdout);
    if (code !== 0 || !help.startsWith(`Usage: mpackd ${command}`)) wrong.push(command);
    for (const option of options) {
      if (!new RegExp(`${option}\\b`).test(help)) wrong.push(`${command} ${option}`);
    }
  }
  assert.deepEqual(wrong, []);
});
