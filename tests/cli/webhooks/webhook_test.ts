import assert from "node:assert/strict";
import { join } from "node:path";
import { startReceiver } from "../../support/webhooks/receiver.ts";
import { createFixture } from "../../support/process/fixture.ts";
import { runMain } from "../../support/process/main.ts";
import { startWorkerProcess } from "../../support/process/mpackd_process.ts";
import { MadeHistory } from "../../support/history/make_history.ts";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";

Deno.test("webhook add, a push, a worker killed while it delivers, another one that delivers", async (t) => {
  await using fixture = await createFixture();
  await using receiver = startReceiver();
  const { db, repo, databaseUrl, folder } = fixture, { repoId } = repo;
  const env = { DATABASE_URL: databaseUrl, MPACK_WEBHOOK_ALLOW: "127.0.0.1" };
  // deno-lint-ignore no-explicit-any -- the shape of each command's JSON
  const webhook = async (...args: string[]): Promise<any> => {
    const ended = await runMain(["webhook", ...args, "--repo", "me/repo", "--json"], env);
    assert.equal(ended.code, 0, ended.stderr);
    return JSON.parse(ended.stdout);
  };
  const refused = await runMain(
    ["webhook", "add", "https://169.254.169.254/", "--repo", "me/repo"],
    env,
  );
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /169\.254\.169\.254 is not an address of the public internet/);
  const url = `${receiver.url}/hook`;
  const { webhook_id: id, secret } = await webhook("add", url, "--event", "branch.moved");
  const history = new MadeHistory();
  history.commit({ files: { a: "1" } });
  const key = await fixture.put(history.pack().bytes);
  await enqueue(db, {
    ...{ repoId, jobType: "mpack.index", payload: { mpack_key: key, branch: "main" } },
  });
  // The receiver takes it, but the worker dies before it hears so.
  const held = Promise.withResolvers<Response>();
  receiver.answer = () => held.promise;
  {
    await using worker = startWorkerProcess({ databaseUrl, folder, env });
    await receiver.until(1);
    worker.kill("SIGKILL");
    await worker.ended;
  }
  held.resolve(new Response());
  receiver.answer = () => new Response("thanks");
  await db.sql`update mpackd_deliveries set run_at = now(), leased_until = now()`;
  const drained = startWorkerProcess({ databaseUrl, folder, env, args: ["--drain"] });
  const { code, stderr } = await drained.ended;
  assert.equal(code, 0, stderr);
  assert.ok(!stderr.includes(secret) && !stderr.includes("/hook"), "no secret, no URL in the log");
  const [first, second] = receiver.received;
  assert.equal(first.headers["webhook-id"], second.headers["webhook-id"]);
  assert.equal(first.body, second.body);
  const { deliveries: [delivery] } = await webhook("deliveries", id);
  assert.deepEqual([delivery.status, delivery.attempts], ["delivered", 2]);
  const { webhooks: [listed] } = await webhook("list");
  assert.deepEqual([listed.url, listed.events, listed.note], [url, ["branch.moved"], null]);

  await t.step("rotate, resend and test", async () => {
    const rotated = await webhook("rotate", id);
    assert.match(rotated.secret, /^whsec_.{44}$/);
    assert.notEqual(rotated.secret, secret);
    assert.deepEqual(await webhook("resend", delivery.delivery_id), {
      delivery_id: delivery.delivery_id,
    });
    await webhook("test", id);
    const rows = await db.sql`select event from mpackd_deliveries where status = 'pending'
      order by event`;
    assert.deepEqual(rows.map(({ event }) => event), ["branch.moved", "webhook.test"]);
  });

  await t.step("the receivers of docs/webhooks.md verify it", async () => {
    const document = await Deno.readTextFile(
      new URL("../../../docs/webhooks.md", import.meta.url),
    );
    const [, typescript] = /```ts\n([^]*?)```/.exec(document)!;
    const [, python] = /```python\n([^]*?)```/.exec(document)!;
    const place = await Deno.makeTempDir({ prefix: "mpackd-test-" });
    const { headers, body } = second;
    await Deno.writeTextFile(
      join(place, "receive.ts"),
      typescript.replace("npm:standardwebhooks@1.1.1", import.meta.resolve("standardwebhooks")) +
        `const { headers, body } = ${JSON.stringify({ headers, body })};
        for (const text of [body, body + " "]) {
          const request = new Request("http://x.test/", { method: "POST", headers, body: text });
          console.error((await receive(request)).status);
        }`,
    );
    await Deno.writeTextFile(
      join(place, "receive.py"),
      `${python}
headers = ${JSON.stringify(headers)}
for body in [${JSON.stringify(body)}, ${JSON.stringify(`${body} `)}]:
    print(verify(${JSON.stringify(secret)}, headers, body.encode()))
`,
    );
    const runs: [program: string, args: string[], output: string][] = [
      [Deno.execPath(), ["run", "-A", "--no-check", "--config"], "204\n401\n"],
      ["/usr/bin/python3", [], "True\nFalse\n"],
    ];
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    for (const [program, args, output] of runs) {
      const file = join(place, program.endsWith("python3") ? "receive.py" : "receive.ts");
      const ended = await new Deno.Command(program, {
        args: [...args, ...(args.length > 0 ? [config] : []), file],
        env: { WEBHOOK_SECRET: secret },
      }).output();
      const text = new TextDecoder().decode(
        program.endsWith("python3") ? ended.stdout : ended.stderr,
      );
      assert.equal(text, output);
    }
    await Deno.remove(place, { recursive: true });
  });
  assert.equal((await webhook("remove", id)).removed, true);
});
