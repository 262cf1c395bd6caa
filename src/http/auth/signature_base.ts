/**
 * What an HTTP message signature signs: the components it covers, line by line.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9421#section-2 | RFC 9421, section 2}
 * @module
 */

import { type InnerList, serializeInnerList } from "structured-headers";

/** The parts of a request that a signature can cover. */
export interface SignedMessage {
  /** As sent: GET, PUT, … */
  readonly method: string;
  /** The whole URL, as the client knows it. */
  readonly url: URL;
  /** The fields. */
  readonly headers: Headers;
}

/** A signature that cannot count, and why. */
export class SignatureError extends Error {
  /** Builds the error; the message ends up in a 401. */
  constructor(message: string) {
    super(message);
    this.name = "SignatureError";
  }
}

/**
 * The signature base of a message under the given `Signature-Input` member.
 *
 * Component parameters (`;sf`, `;req`, …) are refused rather than half understood, and so is a
 * component that comes twice.
 *
 * @throws {SignatureError} If a component is unknown, or a field is not there.
 */
export function signatureBase(message: SignedMessage, input: InnerList): string {
  const [components] = input;
  const seen = new Set<string>();
  const lines = components.map(([name, parameters]) => {
    if (typeof name !== "string" || name !== name.toLowerCase()) {
      throw new SignatureError(`${JSON.stringify(name)} is no component name`);
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
  const value = headers.get(name);
  if (value === null) throw new SignatureError(`"${name}" is covered, but not in the request`);
  return value.trim();
}
