import type { Config } from "../config/config.ts";

/** What every command receives. */
export interface CommandContext {
  /** Reads the settings. Throws if one is wrong. */
  config(): Config;
  /**
   * Runs the work of a command. Ctrl-C fires the signal. The exit code is the number returned, or 0,
   * or that of the error thrown, which is printed.
   */
  run(
    flags: { json?: boolean },
    work: (signal: AbortSignal) => Promise<number | void>,
    options?: InterruptOptions,
  ): Promise<void>;
}

/** How a command handles signals, if not in the usual way. */
export interface InterruptOptions {
  /** Called at the second signal. Then only the third one ends the process. */
  readonly onSecond?: () => void;
  /** Print nothing about signals. */
  readonly isQuiet?: boolean;
}
