import type { Config } from "../config/config.ts";

/** What commands are given. */
export interface CommandContext {
  /** The settings, read when first asked for. */
  config(): Config;
  /**
   * Runs a command's work under a signal that Ctrl-C fires, and notes how it ended: with the exit
   * code it answers, else 0, or as its error says.
   */
  run(
    flags: { json?: boolean },
    work: (signal: AbortSignal) => Promise<number | void>,
    options?: InterruptOptions,
  ): Promise<void>;
}

/** How a command takes signals other than most do. */
export interface InterruptOptions {
  /** Called at the second signal instead of ending the process; the third one does. */
  readonly onSecond?: () => void;
  /** Say nothing about signals. */
  readonly isQuiet?: boolean;
}
