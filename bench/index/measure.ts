/**
 * Clocks, and the limit of every large pack: the hash.
 *
 * @module
 */

import { createSHA256 } from "hash-wasm";

/** A megabyte, as disks and networks count. */
export const MB = 1e6;
const BUFFER_BYTES = 256 * 1024;

/** What `work` answers, and how long it took. */
export async function timed<T>(
  work: () => Promise<T>,
): Promise<{ seconds: number; value: T }> {
  const startedAt = performance.now();
  const value = await work();
  return { seconds: (performance.now() - startedAt) / 1000, value };
}

/** MB/s of hash-wasm alone over these bytes, in the pipeline's buffers. */
export async function hashSpeed(bytes: Uint8Array): Promise<number> {
  const hash = await createSHA256();
  const startedAt = performance.now();
  for (let at = 0; at < bytes.length; at += BUFFER_BYTES) {
    hash.update(bytes.subarray(at, at + BUFFER_BYTES));
  }
  hash.digest();
  return bytes.length / MB / ((performance.now() - startedAt) / 1000);
}

/** The middle one of some figures. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((one, other) => one - other);
  const last = sorted.length - 1;
  return (sorted[Math.floor(last / 2)] + sorted[Math.ceil(last / 2)]) / 2;
}

/** `1,234 MB/s`. */
export function speedText(megabytesPerSecond: number): string {
  return `${count(megabytesPerSecond)} MB/s`;
}

/** `212k objects/s`. */
export function rateText(perSecond: number): string {
  return `${count(perSecond / 1000)}k objects/s`;
}

/** `1,234,567`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
