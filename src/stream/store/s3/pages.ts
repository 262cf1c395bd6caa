/**
 * Follows the pages of a listing to its end.
 *
 * @module
 */
import type { S3Client } from "./client.ts";
import { S3Error } from "./s3_error.ts";
import { hasElement, xmlElements, xmlText } from "./xml.ts";

/** A page has 1,000 entries of at most 3 KiB of percent-encoded key, and their other fields. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** A store may answer some pages without an entry, but not for ever. */
const MAX_EMPTY_PAGES = 1000;
/** S3's limit for a key, in bytes; every key in UTF-16 is shorter. */
const MAX_KEY_LENGTH = 1024;

/** Which listing, and how to read its pages. */
export interface Listing<Entry> {
  /** The root element of a page. */
  readonly root: string;
  /** The elements of a page that are its entries. */
  readonly element: string;
  /** Reads one of them. */
  readonly parse: (xml: string, key: () => string) => Entry;
  /** The parameters for the next page, and the elements of a page that have their values. */
  readonly next: Readonly<Record<string, string>>;
  /** The query of the first page. */
  readonly query: Readonly<Record<string, string>>;
  /** The verb phrase of errors. */
  readonly action: string;
  /** The prefix, for errors. */
  readonly key: string;
  /** The object whose parts are listed; undefined for a listing of the bucket. */
  readonly objectKey?: string;
  /** Ends the listing. */
  readonly signal?: AbortSignal;
}

/**
 * Yields the entries of all pages.
 *
 * @throws {StoreError} `store-unavailable`, also if an answer is not such a page, or if the pages
 * never end.
 */
export async function* listPages<Entry>(
  client: S3Client,
  listing: Listing<Entry>,
): AsyncGenerator<Entry, void, undefined> {
  const { action, key, objectKey, query, signal } = listing;
  const cycle = new CycleDetector();
  let emptyPages = 0;
  for (let next: Record<string, string> | undefined = {}; next !== undefined;) {
    const backoff = client.backoff({ action, key }, signal);
    const page = await backoff.run(async () => {
      const request = { method: "GET", objectKey, query: { ...query, ...next }, signal } as const;
      const answer = await client.send(request);
      const page = parsePage(await answer.text(MAX_PAGE_BYTES), listing);
      emptyPages = page.entries.length === 0 ? emptyPages + 1 : 0;
      const isEndless = emptyPages > MAX_EMPTY_PAGES ||
        page.next !== undefined && cycle.isRepeated(JSON.stringify(page.next));
      if (isEndless) throw badPage("repeats the pages of its listing");
      return page;
    });
    yield* page.entries;
    next = page.next;
  }
}

/** The error of a page that the store should not have sent. */
export function badPage(what: string): S3Error {
  return new S3Error(`the store ${what}`, { isTransient: false });
}

function parsePage<Entry>(xml: string, { root, element, next, parse }: Listing<Entry>) {
  if (!hasElement(xml, root)) throw badPage("did not answer with a listing");
  const isEncoded = xmlText(xml, "EncodingType") === "url";
  const entries = xmlElements(xml, element)
    .map((content) => parse(content, () => keyOf(content, isEncoded)));
  if (xmlText(xml, "IsTruncated") !== "true") return { entries };
  const tokens: Record<string, string> = {};
  for (const [name, tag] of Object.entries(next)) tokens[name] = xmlText(xml, tag) ?? "";
  if (Object.values(tokens)[0] !== "") return { entries, next: tokens };
  throw badPage("sent a part of a listing without a token for the rest");
}

function keyOf(xml: string, isEncoded: boolean): string {
  const text = xmlText(xml, "Key") ?? "";
  const key = isEncoded ? decodeKey(text) : text;
  if (key === "") throw badPage("listed an object without a key");
  if (key.length > MAX_KEY_LENGTH) throw badPage("listed an object with a key of over 1,024 bytes");
  return key;
}

function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw badPage(`listed the key ${JSON.stringify(text.slice(0, 200))}, which is badly encoded`);
  }
}

/**
 * Finds out that a sequence repeats, in constant memory: compares each item with one that is replaced
 * after 1, 2, 4, 8 … items.
 *
 * @see {@link https://doi.org/10.1007/BF01933190 | Brent, An improved Monte Carlo factorization
 * algorithm}
 */
class CycleDetector {
  #reference: string | undefined;
  #sinceReference = 0;
  #replaceAfter = 1;

  isRepeated(item: string): boolean {
    if (item === this.#reference) return true;
    if (++this.#sinceReference === this.#replaceAfter) {
      this.#reference = item;
      this.#sinceReference = 0;
      this.#replaceAfter *= 2;
    }
    return false;
  }
}

/**
 * Returns the time that an element holds.
 *
 * @throws {S3Error} If it holds none: what is deleted depends on it.
 */
export function timeIn(xml: string, tag: string): Date {
  const time = new Date(xmlText(xml, tag) ?? NaN);
  if (Number.isNaN(time.getTime())) throw badPage(`listed an object without ${tag}`);
  return time;
}
