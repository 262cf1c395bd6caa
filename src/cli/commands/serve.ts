/**
 * `mpackd serve`: the HTTP API, with a worker in the same process on request.
 *
 * @module
 */

import type { Command } from "commander";
import type { CommandContext } from "../command.ts";
import type { ServeFlags } from "../services/serve.ts";

export function addServeCommand(program: Command, context: CommandContext): void {
  program.command("serve")
    .summary("serve the HTTP API")
    .description(
      "Serve the HTTP API: repos, uploads, pushes, reads, jobs; /openapi.json describes it.\n\n" +
        "Callers need an identity (see identity). To try it without one, --open prints a token:\n" +
        "until an identity exists it is an admin's, for requests from this machine only.",
    )
    .option("--port <port>", "the port; 0 for any free one", "8080")
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .option("--open", "print a token that is an admin's until an identity exists")
    .option("--ui-only", "serve the console and the probes, and nothing of the API")
    .option("--worker", "also run jobs, as the worker command does")
    .action((flags: ServeFlags) => {
      const force = new AbortController();
      return context.run(
        {},
        async (signal) => {
          // Loaded here: "mpackd --help" loads this module, and needs none of a server.
          const { serve } = await import("../services/serve.ts");
          await serve(flags, context.config(), signal, force.signal);
        },
        { isQuiet: true, onSecond: () => force.abort() },
      );
    });
}
