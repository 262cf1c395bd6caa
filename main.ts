/**
 * The command line of mpackd. `main.ts --help` says what it can do.
 *
 * @module
 */

import { runProgram } from "./src/cli/program.ts";

if (import.meta.main) Deno.exit(await runProgram(Deno.args));
