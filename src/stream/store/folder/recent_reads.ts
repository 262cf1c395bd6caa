/**
 * Which parts of a file the kernel has in its memory, so that reading them waits for no disk.
 *
 * @module
 */

/**
 * File systems of this machine's own disks. For one on a network, Linux asks the server before it
 * reads what it has in memory, and waits for ever if there is no answer.
 *
 * @see {@link https://man7.org/linux/man-pages/man2/statfs.2.html | statfs(2)}
 */
const LOCAL_TYPES: ReadonlySet<number> = new Set([
  0xef53, // ext4
  0x58465342, // XFS
  0x9123683e, // btrfs
  0x2fc12fc1, // ZFS
  0xf2f52010, // F2FS
  0x01021994, // tmpfs
  0x794c7630, // overlayfs
]);
/** Linux has what was read so recently, unless it runs out of memory. */
const RECENT_MS = 10_000;
/** Longer parts take longer to copy than a thread to wake. */
const MAX_BYTES = 64 * 1024;
/** Parts that are remembered. */
const MAX_PARTS = 4_096;

/** Whether files of a file system, by its number in `statfs`, are on a disk of this machine. */
export function isLocal(type: number): boolean {
  return LOCAL_TYPES.has(type);
}

interface Part {
  readonly bytes: number;
  /** When it was read last. */
  readAtMs: number;
}

/**
 * Remembers which short parts of one file were read a moment ago: an object is read as a whole each
 * time. That others around it were read as well is not certain.
 */
export class RecentReads {
  readonly #now: () => number;
  /** By position, the one that was read first first. */
  readonly #parts = new Map<number, Part>();

  /** @param now The clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether a part was read a moment ago; if so, it is read again now. */
  has(positionBytes: number, bytes: number): boolean {
    const part = this.#parts.get(positionBytes);
    if (part === undefined || bytes > part.bytes) return false;
    const nowMs = this.#now();
    if (nowMs - part.readAtMs >= RECENT_MS) return false;
    if (bytes === part.bytes) part.readAtMs = nowMs;
    return true;
  }

  /** Notes that a part has been read. */
  add(positionBytes: number, bytes: number): void {
    if (bytes > MAX_BYTES) return;
    if (this.#parts.size >= MAX_PARTS) {
      const [oldest] = this.#parts.keys();
      this.#parts.delete(oldest);
    }
    this.#parts.set(positionBytes, { bytes, readAtMs: this.#now() });
  }
}
