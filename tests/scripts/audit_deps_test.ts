import assert from "node:assert/strict";
import { findAdvisories } from "../../scripts/audit/advisories.ts";
import {
  checkIntegrity,
  checkPins,
  checkScripts,
  packagesOf,
} from "../../scripts/audit/lock_file.ts";

const integrity = `sha512-${"A".repeat(86)}==`;
const LOCK = {
  version: "5",
  specifiers: { "npm:zod@4.6.7": "4.6.7", "npm:@a/b@1.0.0": "1.0.0_zod@4.6.7" },
  npm: { "zod@4.6.7": { integrity }, "@a/b@1.0.0_zod@4.6.7": { integrity, scripts: true } },
};
const imports = { zod: "npm:zod@4.6.7", b: "npm:@a/b@1.0.0/sub" };
const deny = ["npm:@a/b@1.0.0"];

Deno.test("checkIntegrity() finds packages without SHA-512, and unknown sections", () => {
  assert.deepEqual(checkIntegrity(LOCK), []);
  assert.deepEqual(checkIntegrity({ ...LOCK, npm: { "zod@4.6.7": {} } }), [
    "zod@4.6.7 has no SHA-512",
  ]);
  const weak = { "zod@4.6.7": { integrity: `sha1-${"A".repeat(27)}=` } };
  assert.deepEqual(checkIntegrity({ ...LOCK, npm: weak }), ["zod@4.6.7 has no SHA-512"]);
  const remote = { ...LOCK, remote: {} };
  assert.deepEqual(checkIntegrity(remote), [`it has the section "remote", which is not checked`]);
});

Deno.test("checkPins() finds ranges, other places and versions that are not locked", () => {
  const scopes = { "./tests/": { zod: "npm:zod@4.6.7" } };
  assert.deepEqual(checkPins({ imports, scopes }, LOCK), []);
  const wrong = { z: "npm:zod@^4", y: "npm:zod", x: "https://x.example/y.ts", w: "npm:zod@4.6.8" };
  assert.deepEqual(checkPins({ scopes: { "./tests/": wrong } }, LOCK), [
    "npm:zod@^4 is not pinned to one version of npm",
    "npm:zod is not pinned to one version of npm",
    "https://x.example/y.ts is not pinned to one version of npm",
    "npm:zod@4.6.8 is locked as undefined",
  ]);
});

Deno.test("checkScripts() finds scripts that are allowed or not denied", () => {
  assert.deepEqual(checkScripts({ allowScripts: { deny } }, LOCK), []);
  assert.deepEqual(checkScripts({}, LOCK), [
    "npm:@a/b@1.0.0 has lifecycle scripts, and allowScripts.deny does not name it",
  ]);
  assert.deepEqual(checkScripts({ allowScripts: { allow: deny, deny } }, LOCK), [
    "npm:@a/b@1.0.0 may run its lifecycle scripts",
  ]);
  assert.deepEqual(checkScripts({ allowScripts: { deny: [...deny, "npm:old@1.0.0"] } }, LOCK), [
    "allowScripts.deny names npm:old@1.0.0, which is not locked with scripts",
  ]);
});

Deno.test("findAdvisories() tells a registry that found none from one that does not answer", async (t) => {
  let answer = () => Response.json({}), asked: unknown;
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (r) => {
    asked = { path: new URL(r.url).pathname, body: await r.json() };
    return answer();
  });
  const registry = `http://127.0.0.1:${server.addr.port}/npm`, packages = packagesOf([LOCK]);
  await t.step("none", async () => {
    assert.deepEqual(await findAdvisories(registry, packages), { found: [] });
    const body = { zod: ["4.6.7"], "@a/b": ["1.0.0"] };
    assert.deepEqual(asked, { path: "/npm/-/npm/v1/security/advisories/bulk", body });
  });
  await t.step("one", async () => {
    const advisory = { url: "https://x", title: "t", severity: "high", vulnerable_versions: "<5" };
    answer = () => Response.json({ zod: [advisory] });
    assert.deepEqual(await findAdvisories(registry, packages), {
      found: ["zod <5 (high): t, https://x"],
    });
  });
  const url = `${registry}/-/npm/v1/security/advisories/bulk`;
  await t.step("not allowed", async () => {
    answer = () => new Response("no", { status: 405 });
    assert.deepEqual(await findAdvisories(registry, packages), { unknown: `${url} answered 405` });
  });
  for (const text of ["null", "[1]", "<html>"]) {
    await t.step(`something else: ${text}`, async () => {
      answer = () => new Response(text);
      assert.ok("unknown" in await findAdvisories(registry, packages));
    });
  }
  await t.step("no server", async () => {
    assert.ok("unknown" in await findAdvisories("http://127.0.0.1:1", packages));
  });
});
