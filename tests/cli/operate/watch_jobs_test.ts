import assert from "node:assert/strict";
import { enqueue } from "../../../src/jobs/queue/enqueue.ts";
import { createFixture, type TestFixture } from "../../support/process/fixture.ts";
import { startMain } from "../../support/process/main.ts";

const PYTHON = "/usr/bin/python3";
/** Runs a command on a terminal of 60 columns and 10 lines; types "q" when a row was shown. */
const TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 60, 0, 0))
seen, typed = b"", False
while True:
    try:
        part = os.read(fd, 65536)
    except OSError:
        break
    if not part:
        break
    seen += part
    if not typed and b"me/repo" in seen:
        typed = True
        os.write(fd, os.fsencode(os.environ["KEYS"]))
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status))
`;

const args = ["jobs", "watch", "--interval", "200ms"];

function environment({ databaseUrl, folder }: TestFixture): Record<string, string> {
  return { DATABASE_URL: databaseUrl, MPACK_STORE: `file://${folder}` };
}

async function addJob({ db, repo: { repoId } }: TestFixture, digit = "a"): Promise<string> {
  const payload = { mpack_key: `sha256:${digit.repeat(64)}` };
  return (await enqueue(db, { repoId, jobType: "mpack.index", payload })).row.jobId;
}

Deno.test("jobs watch prints a line for each change where stdout is no terminal", async (t) => {
  await using fixture = await createFixture();
  await t.step("lines", async () => {
    const child = startMain(args, environment(fixture));
    const lines: string[] = [];
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      lines.push(...text.split("\n").filter(Boolean));
      if (lines.length === 1) await addJob(fixture);
      if (lines.length === 2) child.kill("SIGINT");
    }
    assert.match(lines[0], /^\d{4}-\S+Z {2}0 waiting; 0 running; 0 failed in a day; 0 workers$/);
    assert.match(lines[1], / {2}1 waiting, the oldest for .*; 0 running;/);
    assert.equal(lines.length, 2);
    assert.equal((await child.status).code, 0);
    await child.stderr.cancel();
  });
  await t.step("--json, until its reader has enough", async () => {
    const child = startMain([...args, "--json"], environment(fixture));
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    const { at, ...shown } = JSON.parse(value!.split("\n")[0]);
    assert.ok(!Number.isNaN(Date.parse(at)));
    assert.deepEqual({ ...shown, oldest_pending_ms: 0 }, {
      ...{ pending: 1, oldest_pending_ms: 0, running: 0, failed_in_a_day: 0, workers: 0 },
      running_jobs: [],
    });
    assert.equal((await child.status).code, 0);
    await child.stderr.cancel();
  });
});

Deno.test({
  name: "jobs watch draws a table on a terminal, and q or Ctrl-C gives the screen back",
  ignore: !await Deno.stat(PYTHON).then(() => true, () => false),
  fn: async () => {
    await using fixture = await createFixture();
    const jobId = await addJob(fixture);
    for (const digit of "bcdef0123456") await addJob(fixture, digit);
    for (const keys of ["q", "\x03"]) {
      const through = [PYTHON, "-c", TERMINAL];
      const child = startMain(args, { ...environment(fixture), KEYS: keys }, { through });
      const { code, stdout } = await child.output();
      const text = new TextDecoder().decode(stdout);
      assert.equal(code, 0, text);
      assert.ok(text.startsWith("\x1b[?1049h\x1b[?25l"), "the other screen");
      assert.ok(text.trimEnd().endsWith("\x1b[?25h\x1b[?1049l"), JSON.stringify(text.slice(-80)));
      const [, screen] = text.split("\x1b[H");
      // deno-lint-ignore no-control-regex -- it is what a terminal gets
      const lines = screen.replaceAll(/\x1b\[[?\d]*[a-zA-Z]|\^C/g, "").split(/\r*\n/);
      assert.match(lines[0], /^mpackd jobs {2}\d\d:\d\d:\d\d UTC {2}q ends$/);
      assert.match(lines[1], /^13 waiting/);
      assert.match(lines[3], /^job +status +repo +pack/);
      assert.equal(lines.length, 10, "as many as the terminal has");
      assert.ok(lines.every((line) => line.length <= 60), "none is wrapped");
      assert.ok(!screen.includes(jobId.slice(7, 19)), "the oldest has no place");
    }
  },
});
