/**
 * The API's suites with their repos in shards: first in one, which tests may look at as if it were the
 * whole database, then spread over two, where a tenant and its attacker are in different schemas. Not
 * those that run `gc` or look for what a server leaves in one database: tests/cli/operate/shard_test.ts
 * has gc.
 *
 * @module
 */

import assert from "node:assert/strict";

const HTTP = [
  ...["encoded", "events", "repos", "tenant"].map((name) => `tests/http/${name}_test.ts`),
  ...["console", "webhooks"].map((name) => `tests/http/${name}`),
  "tests/http/quotas",
  ...["browse", "client", "fetch", "hostile", "mpack_branch", "push_objects", "refs", "tags"]
    .map((name) => `tests/http/history/${name}_test.ts`),
];
const ATTACK = ["authority", "revocation", "token_scopes", "upload_url"]
  .map((name) => `tests/attack/${name}_test.ts`);
/** They ask over HTTP alone. */
const SPREAD = [
  "tests/http/tenant_test.ts",
  "tests/attack/authority_test.ts",
  "tests/attack/upload_url_test.ts",
];

for (const [shards, files] of [[1, [...HTTP, ...ATTACK]], [2, SPREAD]] as const) {
  Deno.test(`the API's suites pass with ${shards} shards`, async () => {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", "--quiet", ...files],
      env: { MPACKD_TEST_SHARDS: `${shards}`, MPACKD_TEST_RUN_DIR: "", NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert(success, text.slice(-20_000));
  });
}
