import assert from "node:assert/strict";
import type { Command } from "commander";
import { SETTINGS } from "../src/config/config.ts";
import { createProgram } from "../src/cli/program.ts";
import { describeApi } from "../src/http/describe_api.ts";
import { API_ROUTES } from "../src/http/app.ts";

const ROOT = new URL("../", import.meta.url);
/** Settings of Deno, of the desktop and of Amazon's SDK that texts may name. */
const FOREIGN = /^(AWS_|NODE_EXTRA_CA_CERTS$|DENO_|OTEL_|XDG_|PG)/;

interface Text {
  readonly file: string;
  /** A line of source, from its first quote to its last. */
  readonly line: string;
}

const TEXTS = await readTexts("src/");
const PROGRAM = await createProgram({
  config: () => assert.fail("No command runs"),
  run: () => assert.fail("No command runs"),
});

/** The lines of the sources that may hold a text for people; comments are not shown to any. */
async function readTexts(folder: string): Promise<Text[]> {
  const texts: Text[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    if (isDirectory) texts.push(...await readTexts(`${folder}${name}/`));
    if (!/\.tsx?$/.test(name)) continue;
    const source = await Deno.readTextFile(new URL(folder + name, ROOT));
    for (const line of source.split("\n")) {
      if (/^\s*(\*|\/\/|\/\*)/.test(line)) continue;
      const [quoted] = /["'`].*["'`]/.exec(line) ?? [];
      if (quoted !== undefined) texts.push({ file: folder + name, line: quoted });
    }
  }
  return texts;
}

/** Each match of `pattern` in the texts. */
function* matches(pattern: RegExp): Generator<{ where: string; groups: string[] }> {
  for (const { file, line } of TEXTS) {
    for (const [match, ...groups] of line.matchAll(pattern)) {
      yield { where: `${file}: ${match}`, groups };
    }
  }
}

function childOf(command: Command, name: string): Command | undefined {
  return command.commands.find((child) => child.name() === name || child.aliases().includes(name));
}

function hasOption(command: Command, name: string): boolean {
  return name === "--help" ||
    command.options.some(({ long, negate }) => long === name || negate && long === name) ||
    command.parent === null && name === "--version";
}

Deno.test("each command that a text tells people to run is one, with its options", () => {
  const wrong: string[] = [];
  let found = 0;
  // "mpackd jobs retry", `mpackd gc --dry-run`, see mpackd identity, $ mpackd …
  const pattern = /(?:["`']|\b[Rr]un "?|\b[Ss]ee "?|\$ )mpackd ([a-z][^"`'.;,\n]*)/g;
  for (const { where, groups: [rest] } of matches(pattern)) {
    const words = rest.trim().split(/\s+/);
    const command = childOf(PROGRAM, words[0]);
    // A sentence that begins with our name: "mpackd has a defect".
    const isSentence =
      /^(has|is|and|does|cannot|relies|goes|itself|sets|reads|server|leaves|hashes|needs|logs|knows)$/
        .test(words[0]);
    if (isSentence) continue;
    found++;
    if (command === undefined) {
      wrong.push(where);
      continue;
    }
    const child = words[1] === undefined ? undefined : childOf(command, words[1]);
    const isGroup = command.commands.length > 0 && /^[a-z-]+$/.test(words[1] ?? "");
    if (isGroup && child === undefined) wrong.push(where);
    for (const option of rest.match(/--[a-z][a-z-]*/g) ?? []) {
      if (!hasOption(child ?? command, option)) wrong.push(`${where}: ${option}`);
    }
  }
  assert(found > 10, `${found} commands`);
  assert.deepEqual(wrong, []);
});

Deno.test("each option that a text names is one of some command", () => {
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  const commands = all(PROGRAM);
  const wrong: string[] = [];
  // Deno's own permissions are no options of ours.
  for (const { where, groups: [option] } of matches(/(?<![\w-])(--[a-z][a-z-]+)\b/g)) {
    if (/^--(allow|deny|no)(-|$)|^--expose-gc$/.test(option)) continue;
    // Custom properties of a style sheet; the options of PostgreSQL's programs.
    if (/^src\/(http\/console|db\/embedded)\//.test(where)) continue;
    if (!commands.some((command) => hasOption(command, option))) wrong.push(where);
  }
  assert.deepEqual(wrong, []);
});

Deno.test("each document that a text names is there, and so is the heading", async () => {
  const wrong: string[] = [];
  let found = 0;
  for (
    const { where, groups: [path, fragment] } of matches(/\b((?:docs\/)?[\w-]+\.md)(#[\w-]+)?/g)
  ) {
    found++;
    const text = await Deno.readTextFile(new URL(path, ROOT)).catch(() => undefined);
    const headings = [...(text ?? "").matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      `#${heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")}`
    );
    if (text === undefined || fragment && !headings.includes(fragment)) wrong.push(where);
  }
  assert(found > 2, `${found} documents`);
  assert.deepEqual(wrong, []);
});

Deno.test("each setting that a text names is one", () => {
  const known = new Set(Object.values(SETTINGS).map(({ env }) => env));
  const wrong = [...matches(/\b((?:MPACK|MPACKD|DATABASE|AWS|NODE|DENO)_[A-Z_0-9]*[A-Z0-9])\b/g)]
    .filter(({ groups: [name] }) => !known.has(name) && !FOREIGN.test(name))
    .map(({ where }) => where)
    // The names of constants, and of settings that are looked for by their first letters.
    .filter((where) =>
      /["'` ]\S*$/.test(where) && !/MPACK_(INDEX|AUDIT|GC|REPACK|PURGE)$/.test(where)
    );
  assert.deepEqual(wrong, []);
});

Deno.test("each route that a text names is described", () => {
  const { paths } = describeApi(API_ROUTES, "0") as { paths: Record<string, object> };
  const known = new Set(Object.keys(paths));
  const wrong: string[] = [];
  for (const { where, groups: [path] } of matches(/(?<=["'`; (])(\/(?:api|openapi)[\w./{}-]*)/g)) {
    // A part of a template, such as `/api/jobs/${id}`.
    const wanted = path.replace(/\.$/, "");
    const isKnown = [...known, "/openapi.json"].some((route) => route.startsWith(wanted));
    if (!isKnown) wrong.push(where);
  }
  assert.deepEqual(wrong, []);
});
