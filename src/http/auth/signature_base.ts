/**
 * The text that an HTTP message signature signs: its components, one a line.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9421#section-2 | RFC 9421, section 2}
 * @module
 */

import { type InnerList, serializeInnerList } from "structured-headers";

/** A field name in lower case, RFC 9110, section 5.1. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** What a signature can cover of a request. */
export interface SignedMessage {
  readonly method: string;
  /** The URL as the client knows it. */
  readonly url: URL;
  readonly headers: Headers;
}

/** A signature that is not accepted. */
export class SignatureError extends Error {
  /** `message` is sent to the client in a 401. */
  constructor(message: string) {
    super(message);
    this.name = "SignatureError";
  }
}

/**
 * Makes the signature base of a message for a `Signature-Input` member.
 *
 * Component parameters (`;sf`, `;req`, …) are not supported, and a component may come only once.
 *
 * @throws {SignatureError} If a component is unknown, or the request lacks its field.
 */
export function signatureBase(message: SignedMessage, input: InnerList): string {
  const [components] = input;
  const seen = new Set<string>();
  const lines = components.map(([name, parameters]) => {
    if (typeof name !== "string" || name !== name.toLowerCase()) {
      throw new SignatureError(`${JSON.stringify(name)} is not a component name`);
    }
    if (parameters.size > 0) throw new SignatureError(`"${name}" has parameters`);
    if (seen.has(name)) throw new SignatureError(`"${name}" is covered twice`);
    seen.add(name);
    return `"${name}": ${valueOf(name, message)}\n`;
  });
  return `${lines.join("")}"@signature-params": ${serializeInnerList(input)}`;
}

function valueOf(name: string, { method, url, headers }: SignedMessage): string {
  switch (name) {
    case "@method":
      return method;
    case "@path":
      return url.pathname;
    case "@query":
      return url.search === "" ? "?" : url.search;
    case "@authority":
      return url.host;
  }
  if (name.startsWith("@")) throw new SignatureError(`"${name}" is not supported`);
  if (!FIELD_NAME.test(name)) throw new SignatureError("a component name is malformed");
  const value = headers.get(name);
  if (value === null) throw new SignatureError(`"${name}" is covered, but not in the request`);
  return value.trim();
}
