/**
 * `mpackd remote add|list|remove`: names for repos of servers.
 *
 * @module
 */

import type { Command } from "commander";
import { ConfigError } from "../../../errors.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson } from "../../output.ts";
import { splitUrl } from "../../remotes/repo_url.ts";
import { changeSaved, readSaved, remoteUrl } from "../../remotes/saved.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

interface Flags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addRemoteCommand(program: Command, context: CommandContext): void {
  const remote = program.command("remote")
    .summary("save names for repos of servers")
    .description(
      "Save names for repos of servers, which push, clone and fetch take in place of URLs. They " +
        "lie in a file under XDG_CONFIG_HOME, or ~/.config, with the logins.",
    );
  remote.command("add")
    .summary("save a name, or change what it stands for")
    .argument("<name>", "such as origin")
    .argument("<url>", "the repo's URL, such as https://example.com/ada/engine")
    .option("--dry-run", "only say what would be saved")
    .option("--json", "print it as one JSON document")
    .action((name: string, given: string, flags: Flags) =>
      context.run(flags, async () => {
        if (!NAME.test(name)) {
          throw new ConfigError(
            `Cannot save ${
              JSON.stringify(name.slice(0, 200))
            }: a name has letters, digits, dots, ` +
              "dashes and underscores",
          );
        }
        const url = remoteUrl(given);
        splitUrl(url);
        if (flags.dryRun) {
          const { remotes } = await readSaved(context.config());
          const before = Object.hasOwn(remotes, name) ? remotes[name] : null;
          if (flags.json) return await printJson({ would_save: { name, url }, before });
          return await print(`${name} would be ${url}${before === null ? "" : `, not ${before}`}`);
        }
        await changeSaved(context.config(), ({ remotes }) => void (remotes[name] = url));
        if (flags.json) await printJson({ name, url });
        else await print(`${name} is ${url}`);
      })
    );
  remote.command("list")
    .summary("list the saved names")
    .option("--json", "print them as one JSON document")
    .action((flags: Flags) =>
      context.run(flags, async () => {
        const { remotes, logins } = await readSaved(context.config());
        const all = Object.entries(remotes).sort().map(([name, url]) => ({ name, url }));
        const servers = Object.entries(logins).sort().map(([url, login]) => ({
          url,
          by: "token" in login ? "token" : "key",
        }));
        if (flags.json) return await printJson({ remotes: all, logins: servers });
        for (const { name, url } of all) await print(`${name}  ${url}`);
        for (const { url, by } of servers) await print(`logged in to ${url} by ${by}`);
        if (all.length + servers.length === 0) {
          await print('Nothing is saved: "mpackd remote add NAME URL", "mpackd login URL"');
        }
      })
    );
  remote.command("remove")
    .summary("forget a name")
    .argument("<name>", "as remote list shows it")
    .option("--dry-run", "only say what would be forgotten")
    .option("--json", "print it as one JSON document")
    .action((name: string, flags: Flags) =>
      context.run(flags, async () => {
        const config = context.config(), { remotes } = await readSaved(config);
        if (!Object.hasOwn(remotes, name)) {
          throw new ConfigError(
            `Cannot remove the remote ${JSON.stringify(name)}: it is not saved ` +
              '("mpackd remote list" lists all)',
          );
        }
        if (flags.dryRun) {
          if (flags.json) return await printJson({ would_remove: { name, url: remotes[name] } });
          return await print(`Would remove: ${name}, which is ${remotes[name]}`);
        }
        await changeSaved(config, ({ remotes }) => void delete remotes[name]);
        if (flags.json) await printJson({ name, removed: true });
        else await print(`Removed: ${name}`);
      })
    );
}
