/**
 * Runs a command on several files, one after another.
 *
 * @module
 */

import { CancelledError, ConfigError } from "../errors.ts";
import { EXIT, exitCodeOf, printError, typedError } from "./exit.ts";
import { tell } from "./output.ts";

/**
 * Works on each source in the order given. One that fails does not keep the others from being done.
 *
 * @returns The exit code: 0, or that of the first source that failed.
 * @throws {ConfigError} If stdin is named twice.
 * @throws What `work` throws, if there is but one source, or if it was interrupted.
 */
export async function eachSource(
  sources: readonly string[],
  { json = false }: { readonly json?: boolean },
  work: (source: string) => Promise<number | void>,
): Promise<number> {
  if (sources.length === 1) return await work(sources[0]) ?? EXIT.ok;
  if (sources.filter((source) => source === "-").length > 1) {
    throw new ConfigError("Cannot read stdin twice: give - only once");
  }
  let code: number = EXIT.ok, failed = 0;
  for (const source of sources) {
    const ended = await work(source).catch(async (thrown) => {
      const error = typedError(thrown);
      if (error instanceof CancelledError) throw error;
      await printError(error, { json, source });
      return exitCodeOf(error);
    }) ?? EXIT.ok;
    if (ended === EXIT.ok) continue;
    failed++;
    if (code === EXIT.ok) code = ended;
  }
  if (failed > 0) tell(`${failed} of ${sources.length} failed`);
  return code;
}

/** The members that name a source in a JSON document, if it is one of several. */
export function sourceMember(sources: readonly string[], source: string): { source?: string } {
  return sources.length === 1 ? {} : { source };
}
