/**
 * Reads the XML of S3: elements with text, or with other elements. A document may come from a
 * hostile server, so reading takes time in proportion to its length, whatever it holds.
 *
 * @module
 */

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** Returns the text of the first element with this tag, entities decoded. */
export function xmlText(xml: string, tag: string): string | undefined {
  for (const content of contentsOf(xml, tag)) {
    if (!content.includes("<")) return decodeXml(content);
  }
  return undefined;
}

/** Returns the content of every element with this tag, as XML. */
export function xmlElements(xml: string, tag: string): string[] {
  return [...contentsOf(xml, tag)];
}

/** Whether the document has an element with this tag, closed or not. */
export function hasElement(xml: string, tag: string): boolean {
  return openTag(xml, tag, 0) !== undefined;
}

/** Escapes the characters that have a meaning in XML. */
export function encodeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** Every search begins where the one before ended. */
function* contentsOf(xml: string, tag: string): Generator<string, void, undefined> {
  const closing = `</${tag}>`;
  for (let at = 0;;) {
    const nameEnd = openTag(xml, tag, at);
    if (nameEnd === undefined) return;
    const start = xml.indexOf(">", nameEnd) + 1;
    if (start === 0) return;
    if (xml[start - 2] === "/") {
      at = start;
      yield "";
      continue;
    }
    const end = xml.indexOf(closing, start);
    if (end === -1) return;
    at = end + closing.length;
    yield xml.slice(start, end);
  }
}

/** Returns where the name of the next `<tag` ends. `<tagged` is another tag. */
function openTag(xml: string, tag: string, from: number): number | undefined {
  const opening = `<${tag}`;
  for (let at = from;;) {
    const found = xml.indexOf(opening, at);
    if (found === -1) return undefined;
    at = found + opening.length;
    if (/^[\s/>]/.test(xml.charAt(at))) return at;
  }
}

function decodeXml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w{1,4}));/gi, (...match) => {
    const [whole, decimal, hex, name] = match;
    const code = decimal ? Number(decimal) : hex ? parseInt(hex, 16) : -1;
    if (code >= 0) return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : whole;
  });
}
