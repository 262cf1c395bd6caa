/**
 * `mpackd login URL` and `mpackd logout URL`: save, or forget, as whom to talk to a server.
 *
 * @module
 */

import type { Command } from "commander";
import { resolve } from "node:path";
import { ConfigError } from "../../../errors.ts";
import { JobsAnswer } from "../../../http/schemas.ts";
import { readSigner } from "../../../http/auth/keys.ts";
import type { CommandContext } from "../../command.ts";
import { print, printJson, tell } from "../../output.ts";
import { checkedAnswer } from "../../push/answer.ts";
import { Remote } from "../../push/remote.ts";
import type { Account } from "../../remotes/account.ts";
import { changeSaved, type Login, readSaved, remoteUrl } from "../../remotes/saved.ts";
import { readSecret } from "../../remotes/secret.ts";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

interface LoginFlags {
  readonly key?: string;
  readonly tokenFile: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addLoginCommand(program: Command, context: CommandContext): void {
  program.command("login")
    .summary("save as whom to talk to a server")
    .description(
      "Save as whom push, clone and fetch talk to a server: by a token, which is read from stdin, or " +
        "by the file of a private key. The server is asked whether it accepts it. Only you may " +
        "read the file, which lies under XDG_CONFIG_HOME or ~/.config.",
    )
    .argument("<url>", "the server, such as https://example.com")
    .option("--key <file>", "the private key that signs the requests; the file stays where it is")
    .option("--token-file <file>", "where to read the token", "-")
    .option("--dry-run", "ask the server, and save nothing")
    .option("--json", "print it as one JSON document")
    .action((given: string, flags: LoginFlags) =>
      context.run(flags, async (signal) => {
        const server = remoteUrl(given), config = context.config(), url = new URL(server);
        if (url.protocol === "http:" && !LOOPBACK.test(url.hostname)) {
          tell(`Warning: ${url.origin} is not encrypted: a token can be read on its way`);
        }
        const login: Login = flags.key === undefined
          ? { token: await readSecret(flags.tokenFile) }
          : { key: resolve(flags.key) };
        const account: Account = "token" in login ? login : { signer: await readSigner(login.key) };
        const deadlineMs = config.httpTotalMs;
        const remote = new Remote({ server, repo: "" }, account, {
          signal,
          deadlineMs,
          onWait: () => {},
        });
        // Whoever has an identity may list jobs.
        checkedAnswer(await remote.json(remote.apiUrl("/api/jobs?limit=1")), JobsAnswer);
        const by = "token" in login ? "token" : "key";
        if (flags.dryRun) {
          if (flags.json) return await printJson({ would_save: { url: server, by } });
          return await print(`Would log in to ${server} by ${by}: it accepts that`);
        }
        await changeSaved(config, ({ logins }) => void (logins[server] = login));
        if (flags.json) await printJson({ url: server, by });
        else await print(`Logged in to ${server} by ${by}`);
      })
    );
}

/** Adds the command. */
export function addLogoutCommand(program: Command, context: CommandContext): void {
  program.command("logout")
    .summary("forget as whom to talk to a server")
    .description("Forget what login has saved. A token stays valid: see token revoke.")
    .argument("<url>", "the server")
    .option("--dry-run", "only say what would be forgotten")
    .option("--json", "print it as one JSON document")
    .action((given: string, flags: { dryRun?: boolean; json?: boolean }) =>
      context.run(flags, async () => {
        const url = remoteUrl(given), config = context.config();
        const { logins } = await readSaved(config);
        if (!Object.hasOwn(logins, url)) {
          const known = Object.keys(logins).sort().join(", ") || "no server";
          throw new ConfigError(`Cannot log out of ${url}: you are logged in to ${known}`);
        }
        if (flags.dryRun) {
          if (flags.json) return await printJson({ would_forget: url });
          return await print(`Would log out of ${url}`);
        }
        await changeSaved(config, ({ logins }) => void delete logins[url]);
        if (flags.json) await printJson({ url, logged_out: true });
        else await print(`Logged out of ${url}`);
      })
    );
}
