import type { SessionTarget } from "./parse_url.ts";

/** A server says so little before a session; more is no login of PostgreSQL's. */
const MAX_BYTES = 64 * 1024;
const BACKEND_KEY = "K".charCodeAt(0);
const ERROR = "E".charCodeAt(0);
const PARAMETER = "S".charCodeAt(0);
const READY = "Z".charCodeAt(0);

/**
 * Reads what a server says of itself while a client logs in: the id of its process, why it refuses
 * the session, and, since PostgreSQL 14, whether it can write.
 *
 * @see {@link https://www.postgresql.org/docs/current/protocol-flow.html | Message Flow}
 */
export class LoginReader {
  #bytes = new Uint8Array(0);
  readonly #parameters = new Map<string, string>();
  /** Whether the session is ready for a statement, or was refused. */
  isOver = false;
  /** The SQLSTATE with which the server refused the session. */
  refusedWith?: string;
  pid?: number;

  /** Takes the next bytes of the server. */
  read(bytes: Uint8Array): void {
    const all = new Uint8Array(this.#bytes.length + bytes.length);
    all.set(this.#bytes);
    all.set(bytes, this.#bytes.length);
    const view = new DataView(all.buffer);
    let at = 0;
    // A type, then the length of itself and of what follows.
    while (!this.isOver && at + 5 <= all.length) {
      const end = at + 1 + view.getUint32(at + 1);
      if (end > all.length) break;
      this.#message(all[at], all.subarray(at + 5, end));
      at = end;
    }
    this.#bytes = all.slice(at);
    if (this.#bytes.length > MAX_BYTES) this.isOver = true;
    if (this.isOver) this.#bytes = new Uint8Array(0);
  }

  #message(type: number, body: Uint8Array): void {
    if (type === READY) {
      this.isOver = true;
    } else if (type === BACKEND_KEY) {
      this.pid = new DataView(body.buffer, body.byteOffset).getUint32(0);
    } else if (type === ERROR) {
      // Fields, each with its letter first.
      const fields = new TextDecoder().decode(body).split("\0");
      this.refusedWith = fields.find((field) => field.startsWith("C"))?.slice(1);
      this.isOver = true;
    } else if (type === PARAMETER) {
      const [name, value] = new TextDecoder().decode(body).split("\0");
      this.#parameters.set(name, value);
    }
  }

  /** Why the server will not do; undefined if it will, or if a pooler does not say. */
  refusal(target: SessionTarget): string | undefined {
    const isStandby = this.#parameters.get("in_hot_standby") === "on";
    const isReadOnly = isStandby ||
      this.#parameters.get("default_transaction_read_only") === "on";
    const isSilent = !this.#parameters.has("in_hot_standby");
    if (target === "any" || isSilent) return undefined;
    if (target === "primary" || target === "read-write") {
      if (isStandby) return "is a standby";
      return isReadOnly && target === "read-write"
        ? "is read-only (default_transaction_read_only is on)"
        : undefined;
    }
    if (target === "standby") return isStandby ? undefined : "is no standby";
    return isReadOnly ? undefined : "is not read-only";
  }
}
