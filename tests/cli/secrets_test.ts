import assert from "node:assert/strict";
import { describe } from "../../src/jobs/attempt/error_record.ts";
import { addSecrets } from "../../src/lib/redact.ts";
import { runMain } from "../support/process/main.ts";

const SECRETS = {
  AWS_ACCESS_KEY_ID: "access",
  AWS_SECRET_ACCESS_KEY: "marked/secret+key",
  AWS_SESSION_TOKEN: "marked=session=token",
};
const S3 = "s3://bucket?endpoint=http://127.0.0.1:1&region=r";

Deno.test("no secret is printed, whatever is wrong with the settings or the services", async (t) => {
  const cases: [name: string, env: Record<string, string>, secrets: string[]][] = [
    ["a password with @", { DATABASE_URL: "postgres://u:marked@pass@127.0.0.1:1/db" }, [
      "marked@pass",
      "marked",
      "pass@",
    ]],
    ["a URL that is none", { DATABASE_URL: "postgres://u:markedpass@127.0.0.1:port/db" }, [
      "markedpass",
    ]],
    ["an escaped password", { DATABASE_URL: "postgres://u:marked%2Fpass@127.0.0.1:1/db" }, [
      "marked%2Fpass",
      "marked/pass",
    ]],
    ["a line feed in an access key", { AWS_ACCESS_KEY_ID: "access\nmarkedkey" }, ["markedkey"]],
    ["a line feed in a secret key", { AWS_SECRET_ACCESS_KEY: "marked\nkey" }, ["marked\nkey"]],
    ["a store that is away", {}, ["marked/secret", "marked=session"]],
  ];
  for (const [name, env, secrets] of cases) {
    await t.step(name, async () => {
      const all = {
        MPACK_STORE: S3,
        MPACK_STORE_RETRIES: "0",
        MPACK_HOME: "/nonexistent/home",
        ...SECRETS,
        ...env,
      };
      const key = `sha256:${"0".repeat(64)}`;
      for (const flags of [[], ["--json"]]) {
        const args = ["index", key, "--repo", "me/repo", ...flags];
        const { code, stdout, stderr } = await runMain(args, all);
        assert.notEqual(code, 0);
        for (const secret of secrets) {
          assert(!(stdout + stderr).includes(secret), `${secret}: ${stdout}${stderr}`);
        }
      }
    });
  }
  await t.step("a control character is named with its variable, and ends with 2", async () => {
    const { code, stderr } = await runMain(["config"], { AWS_ACCESS_KEY_ID: "access\nmarked" });
    assert.equal(code, 2);
    assert.match(stderr, /AWS_ACCESS_KEY_ID: its character 7 is the control character U\+000A/);
  });
});

Deno.test("an error of a library that quotes a secret is shown and recorded without it", () => {
  addSecrets(["marked secret/1", undefined, "abc"]);
  const { message } = describe(
    new Error('Header "Bearer marked secret/1", marked%20secret%2F1, abc'),
  );
  assert.equal(message, 'Header "Bearer ***", ***, abc');
});
