/**
 * Runs the garbage collector when it pays.
 *
 * A batch of rows leaves about 3 MB of strings and buffers. V8 lets such garbage grow to 100 MB
 * before it collects, and its limits can only be set when the process starts. So the collector is
 * called by hand: 25 ms a few times per 100,000 objects. On a million objects of 200 bytes the peak
 * is 120 MB instead of 250.
 *
 * @module
 */

import v8 from "node:v8";
import vm from "node:vm";

const MIB = 1024 * 1024;
/** An idle mpackd has a heap of about 20 MB. */
const MIN_HEAP_BYTES = 32 * MIB;
/** Collecting this much is worth 25 ms. */
const MIN_GROWTH_BYTES = 16 * MIB;

let collect: (() => void) | undefined;
/** What was left the last time. A server keeps over 32 MiB, which each batch of a push collected. */
let keptBytes = 0;

/** Collects garbage if heap and external buffers exceed 32 MiB, and have grown by 16 since. */
export function trimHeap(): void {
  if (heapBytes() < Math.max(MIN_HEAP_BYTES, keptBytes + MIN_GROWTH_BYTES)) return;
  collect ??= exposeCollector();
  collect();
  keptBytes = heapBytes();
}

function heapBytes(): number {
  const { total_heap_size, external_memory } = v8.getHeapStatistics();
  return total_heap_size + external_memory;
}

/** `gc` exists only in contexts made after the flag was set. Without it, trimming does nothing. */
function exposeCollector(): () => void {
  try {
    v8.setFlagsFromString("--expose-gc");
    return vm.runInNewContext("gc");
  } catch {
    return () => {};
  }
}
