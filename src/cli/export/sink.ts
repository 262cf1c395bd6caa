/**
 * Where exported objects go.
 *
 * @module
 */

import type { ObjectEntry } from "../../objects/read_objects.ts";

/** Takes objects one after the other. */
export interface ExportSink {
  /** Whether it goes on after an object broke off in the middle. */
  readonly canSkip: boolean;
  /** Writes one object. Throws what reading the object throws, and what the disk says. */
  write(entry: ObjectEntry): Promise<void>;
  /** All objects are there. */
  finish(): Promise<void>;
  /** There will be no more, and what is there is not whole. */
  abandon(): Promise<void>;
}
