/**
 * Keeping the heap as small as what lives on it.
 *
 * A batch of rows on its way to the database leaves about 3 MB of strings and buffers behind. V8
 * would let such garbage grow to 100 MB before it looks for it, whatever the machine runs besides;
 * its limits can only be set when the process starts. So the collector is asked for by hand, when
 * there is something to collect: 25 ms a few times in 100,000 objects, and a peak of 120 MB instead of
 * 250 on a million objects of 200 bytes.
 *
 * @module
 */

import v8 from "node:v8";
import vm from "node:vm";

/** The heap of an idle mpackd is about 20 MB; this much more is worth 25 ms. */
const WORTHWHILE_BYTES = 32 * 1024 * 1024;

let collect: (() => void) | undefined;

/** Collects garbage if the heap and the buffers beside it have grown beyond about 32 MiB. */
export function trimHeap(): void {
  const { total_heap_size, external_memory } = v8.getHeapStatistics();
  if (total_heap_size + external_memory < WORTHWHILE_BYTES) return;
  collect ??= exposeCollector();
  collect();
}

/** `gc()` is only there for contexts made after the flag was set; a runtime may have none at all. */
function exposeCollector(): () => void {
  try {
    v8.setFlagsFromString("--expose-gc");
    return vm.runInNewContext("gc");
  } catch {
    return () => {};
  }
}
