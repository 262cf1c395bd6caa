import assert from "node:assert/strict";
import { startApi } from "../support/http/api.ts";
import { runMain } from "../support/process/main.ts";

// Debian's packages need Debian's python3, so its folder comes first.
const env = { PATH: `/usr/bin:${Deno.env.get("PATH")}` };
const run = async (args: string[], cwd?: string) => {
  const command = new Deno.Command("python3", { args, cwd, env });
  return await command.output().catch(() => ({ success: false, stderr: new Uint8Array() }));
};
const hasCryptography = (await run(["-c", "import cryptography"])).success;

/** Sends what the recipe signs. */
const CLIENT = `
import http.client, sys
authority = sys.argv[1]
def send(method, path, query="", body=None):
    connection = http.client.HTTPConnection(authority)
    headers = sign(key, method, authority, path, query, body)
    if body is not None: headers["Content-Type"] = "application/json"
    connection.request(method, path + (f"?{query}" if query else ""), body, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status in (200, 201), text
send("POST", "/api/repos", body=b'{"owner":"ada","name":"one"}')
send("GET", "/api/jobs", "status=done&limit=5")
send("GET", "/api/jobs", "status=done&limit=5")
`;

Deno.test({
  name: "the signing recipe in docs/http.md makes accepted signatures",
  ignore: !hasCryptography,
  async fn() {
    await using api = await startApi({ worker: false });
    const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
    const env = { DATABASE_URL: api.fixture.databaseUrl };
    const made = await runMain(["identity", "create", "ada", "--key", `${folder}/ada.pem`], env);
    assert.equal(made.code, 0, made.stderr);
    const text = await Deno.readTextFile(new URL("../../docs/http.md", import.meta.url));
    const [, recipe] = /```python\n([^]*?)```/.exec(text)!;
    await Deno.writeTextFile(`${folder}/client.py`, recipe + CLIENT);
    const { success, stderr } = await run(["client.py", new URL(api.url).host], folder);
    assert.ok(success, new TextDecoder().decode(stderr));
    await Deno.remove(folder, { recursive: true });
  },
});
