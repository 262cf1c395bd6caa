/**
 * A deadline for each test: `deno test --preload` runs this first. A test that waits for ever fails,
 * and those after it run all the same.
 *
 * @module
 */

/** More than the longest test takes on a busy machine, and less than CI gives a suite. */
const TIMEOUT_MS = 10 * 60_000;

const { test } = Deno;

/** `Deno.test()` in all its forms. */
function testInTime(...given: unknown[]): void {
  const definition: Record<string, unknown> = { timeout: TIMEOUT_MS };
  for (const each of given) {
    if (typeof each === "string") definition.name = each;
    else if (typeof each === "function") {
      Object.assign(definition, { name: each.name, ...definition, fn: each });
    } else Object.assign(definition, each);
  }
  test(definition as unknown as Deno.TestDefinition);
}

Object.assign(Deno, { test: Object.assign(testInTime, test) });
