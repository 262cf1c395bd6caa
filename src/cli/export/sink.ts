/**
 * Receives exported objects.
 *
 * @module
 */

import type { ObjectEntry } from "../../objects/read_objects.ts";

/** Receives objects one after the other. */
export interface ExportSink {
  /** Whether it can continue after an object failed in the middle. */
  readonly canSkip: boolean;
  /** Writes one object. Throws errors of reading it and of the disk. */
  write(entry: ObjectEntry): Promise<void>;
  /** Completes the export after the last object. */
  commit(): Promise<void>;
  /** Removes what is incomplete. */
  discard(): Promise<void>;
}
