import assert from "node:assert/strict";
import { hasElement, xmlElements, xmlText } from "../../../src/stream/store/s3/xml.ts";
import { withS3Double } from "../../support/store/s3_fixture.ts";
import { keysOf } from "./blob_store_contract.ts";

const KIB = 1024;

/** Repeated, these make a backtracking reader start again at each tag. */
const BAITS: Record<string, string> = {
  "tags that never end": "<Code ",
  "elements that never end": "<Code>",
  "elements in elements": "<Code><",
  "elements that end otherwise": "<Code>x</Cod>",
  "other tags": "<Codes",
  "entities that never end": "<Code>&#",
  "longer entities that never end": "<Code>&#12345678901234567890",
};

/** Returns the shortest of several runs, so that a busy machine does not change the result. */
function shortestMs(read: (xml: string) => unknown, xml: string): number {
  const times = Array.from({ length: 5 }, () => {
    const startedAt = performance.now();
    read(xml);
    return performance.now() - startedAt;
  });
  return Math.min(...times);
}

Deno.test("reading XML takes linear time for every content", async (t) => {
  const readers = {
    xmlText: (xml: string) => xmlText(xml, "Code"),
    xmlElements: (xml: string) => xmlElements(xml, "Code"),
    hasElement: (xml: string) => hasElement(xml, "Codec"),
  };
  for (const [name, bait] of Object.entries(BAITS)) {
    for (const [reader, read] of Object.entries(readers)) {
      await t.step(`${reader}() of ${name}`, () => {
        const make = (bytes: number) => bait.repeat(bytes / bait.length) + "</Code>";
        const shortMs = shortestMs(read, make(32 * KIB)),
          longMs = shortestMs(read, make(512 * KIB));
        // 16 times the length: a quadratic reader takes 256 times as long.
        assert.ok(longMs <= 1 || longMs / shortMs < 100, `${shortMs} ms became ${longMs} ms`);
      });
    }
  }
});

Deno.test("xmlText() and xmlElements() read what S3 writes", () => {
  const xml = `<?xml version="1.0"?><L xmlns="x"><KeyMarker>m</KeyMarker><Empty/>` +
    `<Key a="b">&lt;&amp;&#65;&#x42;&unknown;</Key><Key>2</Key><Box><Key>3</Key></Box></L>`;
  assert.equal(xmlText(xml, "Key"), "<&AB&unknown;");
  assert.equal(xmlText(xml, "Empty"), "");
  assert.equal(xmlText(xml, "Box"), undefined);
  assert.equal(xmlText(xml, "toString"), undefined);
  assert.equal(xmlText("<A>&constructor;&toString;</A>", "A"), "&constructor;&toString;");
  assert.deepEqual(xmlElements(xml, "Box"), ["<Key>3</Key>"]);
  assert.deepEqual(xmlElements(xml, "Key").slice(1), ["2", "3"]);
  assert.deepEqual([hasElement(xml, "L"), hasElement(xml, "Ke"), hasElement("", "L")], [
    true,
    false,
    false,
  ]);
});

Deno.test("a very long error document keeps its status, and gives a short message", async () => {
  await withS3Double(async ({ store, proxy, sleepsMs }) => {
    proxy.otherwise = () => ({ status: 503, body: "<Code ".repeat(1024 * KIB) });
    await assert.rejects(store.stat("a"), (error: Error & { status?: number }) => {
      assert.equal(error.status, 503);
      assert.ok(error.message.length < 200, error.message);
      return true;
    });
    assert.equal(sleepsMs.length, 3);
  });
});

const ENTRY = "<Key>a</Key><Size>1</Size><LastModified>2026-11-23T08:00:00Z</LastModified>";

/** One page of a listing; `more` is the token of the next. */
function page(entries: string[], more?: string): string {
  const contents = entries.map((entry) => `<Contents>${entry}</Contents>`).join("");
  const next = more === undefined
    ? ""
    : `<IsTruncated>true</IsTruncated><NextContinuationToken>${more}</NextContinuationToken>`;
  const encoding = "<EncodingType>url</EncodingType>";
  return `<ListBucketResult>${encoding}${next}${contents}</ListBucketResult>`;
}

Deno.test("list() ends with a typed error when the store's pages are wrong", async (t) => {
  const wrong: Record<string, [page: string, message: RegExp]> = {
    "a key that is badly encoded": [page([ENTRY.replace("a", "%zz")]), /"%zz".*badly encoded/],
    "a key of half a character": [page([ENTRY.replace("a", "%c3")]), /badly encoded/],
    "a key that is too long": [page([ENTRY.replace("a", "a".repeat(1025))]), /over 1,024 bytes/],
    "no key": [page([ENTRY.replace("a", "")]), /without a key/],
    "no size": [page([ENTRY.replace("Size", "Sise")]), /without Size/],
    "a size that is no number": [page([ENTRY.replace(">1<", ">-1<")]), /without Size/],
    "a time that is none": [page([ENTRY.replace("2026", "x")]), /without LastModified/],
    "a token that is none": [page([ENTRY], ""), /without a token/],
    "the same token again and again": [page([ENTRY], "again"), /repeats/],
    "no listing": ["<html></html>", /did not answer with a listing/],
    "a page without end": [page([]) + " ".repeat(9 * 1024 * KIB), /more than 8388608 bytes/],
  };
  for (const [name, [body, message]] of Object.entries(wrong)) {
    await t.step(name, () =>
      withS3Double(async ({ store, proxy }) => {
        proxy.otherwise = () => ({ status: 200, body });
        await assert.rejects(keysOf(store, ""), { code: "store-unavailable", message });
        assert.ok(proxy.requests.length <= 3, `${proxy.requests.length} requests`);
      }));
  }
  await t.step(
    "tokens that repeat after other tokens",
    () =>
      withS3Double(async ({ store, proxy }) => {
        let pages = 0;
        proxy.otherwise = () => {
          const at = pages++;
          return { status: 200, body: page([ENTRY], `${at < 5 ? at : at % 7}`) };
        };
        await assert.rejects(keysOf(store, ""), { code: "store-unavailable", message: /repeats/ });
        assert.ok(pages < 50, `${pages} pages`);
      }),
  );
  await t.step(
    "new tokens without end, and no entry",
    () =>
      withS3Double(async ({ store, proxy }) => {
        let pages = 0;
        proxy.otherwise = () => ({ status: 200, body: page([], `${pages++}`) });
        await assert.rejects(keysOf(store, ""), { code: "store-unavailable", message: /repeats/ });
        assert.equal(pages, 1001);
      }),
  );
});

Deno.test("sweep() aborts no upload without a valid time", async () => {
  await withS3Double(async ({ store, proxy }) => {
    const upload = "<Upload><Key>a</Key><UploadId>1</UploadId><Initiated>soon</Initiated></Upload>";
    const body = `<ListMultipartUploadsResult>${upload}</ListMultipartUploadsResult>`;
    proxy.otherwise = () => ({ status: 200, body });
    await assert.rejects(store.sweep!({ before: new Date() }), {
      code: "store-unavailable",
      message: /without Initiated/,
    });
    assert.deepEqual(proxy.requests.map(({ method }) => method), ["GET"]);
  });
});
