/**
 * `mpackd completion`: lets a shell complete commands and options.
 *
 * @module
 */

import { Argument, type Command } from "commander";
import type { CommandContext } from "../../command.ts";
import { print } from "../../output.ts";

/** Adds the command. It completes what the program has by then, so all others must be added. */
export function addCompletionCommand(program: Command, context: CommandContext): void {
  program.command("completion")
    .summary("print the completions for a shell")
    .description(
      "Print a script that lets a shell complete commands and options:\n\n" +
        "  bash   mpackd completion bash > /etc/bash_completion.d/mpackd\n" +
        "  zsh    mpackd completion zsh > /usr/local/share/zsh/site-functions/_mpackd\n" +
        "  fish   mpackd completion fish > ~/.config/fish/completions/mpackd.fish",
    )
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .action((shell: keyof typeof SCRIPTS) =>
      context.run({}, async () => await print(SCRIPTS[shell](program.name(), wordsOf(program))))
    );
}

/** What may follow some words: `jobs list` → its options. */
interface Words {
  /** The commands before it, "" for none. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly what: string }[];
}

function wordsOf(command: Command, path = ""): Words[] {
  const words = [
    ...command.commands.map((child) => ({
      word: child.name(),
      what: child.summary() || child.description(),
    })),
    ...command.createHelp().visibleOptions(command).map(({ long, short, description }) => ({
      word: long ?? short ?? "",
      what: description,
    })),
  ];
  const below = command.commands.flatMap((child) =>
    wordsOf(child, `${path} ${child.name()}`.trim())
  );
  return [{ path, words }, ...below];
}

const SCRIPTS = {
  bash: (name: string, all: readonly Words[]) =>
    `# Completions of ${name} for bash. After the commands, files are completed, too.
_${name}() {
  local word path="" words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || path="\${path:+$path }$word"
  done
  case "$path" in
${
      all.map(({ path, words }) =>
        `    ${JSON.stringify(path)}${
          isLeaf(all, path) ? `|${JSON.stringify(`${path} `)}*` : ""
        }) words="${words.map(({ word }) => word).join(" ")}" ;;`
      ).join("\n")
    }
    *) words="" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${name} ${name}`,

  zsh: (name: string, all: readonly Words[]) =>
    `#compdef ${name}
# Completions of ${name} for zsh.
local word found="" ; local -a options
for word in "\${words[@]:1:CURRENT-2}"; do
  [[ $word == -* ]] || found="\${found:+$found }$word"
done
case "$found" in
${
      all.map(({ path, words }) =>
        `  ${JSON.stringify(path)}${
          isLeaf(all, path) ? `|${JSON.stringify(`${path} `)}*` : ""
        }) options=(${
          words.map(({ word, what }) => quoted(`${word.replaceAll(":", "\\:")}:${lineOf(what)}`))
            .join(" ")
        }) ;;`
      ).join("\n")
    }
esac
_describe '${name}' options
_files`,

  fish: (name: string, all: readonly Words[]) =>
    [
      `# Completions of ${name} for fish.`,
      ...all.flatMap(({ path, words }) =>
        words.map(({ word, what }) => {
          const condition = path === ""
            ? "__fish_use_subcommand"
            : path.split(" ").map((part) => `__fish_seen_subcommand_from ${part}`).join("; and ");
          const given = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${quoted(word)}`;
          return `complete -c ${name} -n ${quoted(condition)} ${given} -d ${quoted(lineOf(what))}`;
        })
      ),
    ].join("\n"),
};

/** Whether a command has no subcommands: what follows it are arguments. */
function isLeaf(all: readonly Words[], path: string): boolean {
  return path !== "" && !all.some((other) => other.path.startsWith(`${path} `));
}

function lineOf(text: string): string {
  return text.split("\n")[0];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
