import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { prepareBinaries } from "../../../src/db/embedded/binaries.ts";
import { connectDatabase } from "../../../src/db/client/connect.ts";
import { openEmbedded } from "../../../src/db/embedded/open_embedded.ts";
import { readPidFile } from "../../../src/db/embedded/postmaster.ts";
import { createCluster } from "../../../src/db/embedded/server.ts";
import { ConfigError, DatabaseError } from "../../../src/errors.ts";
import { sleep } from "../../../src/lib/sleep.ts";
import { openRunDir } from "../../support/postgres/test_server.ts";
import { until } from "../../support/until.ts";
import { isListening } from "../../support/process/free_port.ts";

/** A folder that is not there yet, and goes with the test run. */
async function newDataDir(): Promise<string> {
  return join(await openRunDir(), `embedded-${crypto.randomUUID().slice(0, 8)}`);
}

/** The first column of each row. */
async function ask(url: string, query: string): Promise<unknown[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return (await sql.unsafe(query)).map((row) => Object.values(row)[0]);
  } finally {
    await sql.end();
  }
}

/** Opens the database in a process of its own. */
async function spawnUser(dataDir: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", join(import.meta.dirname!, "embedded_user.ts"), dataDir],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  return {
    url: value.trim(),
    end: async (signal?: Deno.Signal) => {
      if (signal) child.kill(signal);
      await child.stdin.close().catch(() => {});
      const { code } = await child.status;
      await reader.cancel();
      return code;
    },
  };
}

async function assertStopped(dataDir: string, url: string): Promise<void> {
  assert.equal(await readPidFile(join(dataDir, "data")), undefined);
  await assert.rejects(ask(url, "select 1"), { code: "ECONNREFUSED" });
}

Deno.test("openEmbedded() starts one server for all, and the last one stops it", async (t) => {
  const dataDir = await newDataDir();

  await t.step("first opens by four processes at once", async () => {
    const users = await Promise.all(Array.from({ length: 4 }, () => spawnUser(dataDir)));
    const [{ url }] = users;
    assert.deepEqual(users.map((user) => user.url), [url, url, url, url]);
    await ask(url, "create table kept as select 42 as answer");
    assert.deepEqual(await Promise.all(users.map((user) => user.end())), [0, 0, 0, 0]);
    await assertStopped(dataDir, url);
  });

  await t.step("the process that started it leaves first", async () => {
    const first = await openEmbedded({ dataDir });
    assert.match(first.version, /^18\.\d+$/);
    const second = await spawnUser(dataDir);
    assert.equal(second.url, first.url);
    await first.close();
    await first.close();
    assert.deepEqual(await ask(second.url, "select answer from kept"), [42]);
    assert.equal(await second.end(), 0);
    await assertStopped(dataDir, first.url);
  });

  await t.step("the last user was killed with SIGKILL", async () => {
    const killed = await spawnUser(dataDir);
    assert.equal(await killed.end("SIGKILL"), 137);
    assert.deepEqual(await ask(killed.url, "select answer from kept"), [42]);
    const next = await openEmbedded({ dataDir });
    assert.equal(next.url, killed.url);
    await next.close();
    await assertStopped(dataDir, next.url);
  });

  await t.step("it takes only its password, and only on loopback", async () => {
    await using database = await openEmbedded({ dataDir });
    const wrong = new URL(database.url);
    wrong.password = "mpackd";
    await assert.rejects(ask(wrong.href, "select 1"), { code: "28P01" });
    assert.deepEqual(await ask(database.url, "show unix_socket_directories"), [""]);
    assert.deepEqual(await ask(database.url, "show listen_addresses"), ["127.0.0.1"]);
    assert.deepEqual(await ask(database.url, "show fsync"), ["on"]);
    assert.equal((await Deno.stat(join(dataDir, "password"))).mode! & 0o777, 0o600);
  });
});

Deno.test("openEmbedded() starts again what did not end well", async (t) => {
  const dataDir = await newDataDir();
  const pidPath = join(dataDir, "data", "postmaster.pid");
  let left = "";

  await t.step("a first start that was broken off", async () => {
    const signal = AbortSignal.timeout(150);
    await assert.rejects(openEmbedded({ dataDir, signal }), { name: "TimeoutError" });
    await assert.rejects(Deno.stat(join(dataDir, "data")), Deno.errors.NotFound);
  });

  await t.step("a server killed with SIGKILL, with a user that still holds on", async () => {
    await using first = await openEmbedded({ dataDir });
    await ask(first.url, "create table kept as select 42 as answer");
    left = await Deno.readTextFile(pidPath);
    Deno.kill((await readPidFile(join(dataDir, "data")))!.pid, "SIGKILL");
    await using second = await openEmbedded({ dataDir });
    assert.deepEqual(await ask(second.url, "select answer from kept"), [42]);
  });

  const leftovers = {
    "a pid file whose process id is now another's": () => left.replace(/^\d+/, String(Deno.pid)),
    "a pid file whose process id no process has": () => left.replace(/^\d+/, "999999998"),
    "an empty pid file": () => "",
    "a pid file cut short": () => left.slice(0, 20),
  };
  for (const [title, content] of Object.entries(leftovers)) {
    await t.step(title, async () => {
      await Deno.writeTextFile(pidPath, content());
      const { uid, gid } = await Deno.stat(dirname(pidPath));
      await Deno.chown(pidPath, uid, gid);
      await Deno.chmod(pidPath, 0o600);
      await using database = await openEmbedded({ dataDir });
      assert.deepEqual(await ask(database.url, "select answer from kept"), [42]);
    });
  }
});

Deno.test("a pool finds the embedded server again after it was killed", async (t) => {
  const dataDir = await newDataDir();
  await using database = await openEmbedded({ dataDir });
  const db = connectDatabase(database.url, {
    maxConnections: 3,
    relocate: () => database.revive(),
  });
  const count = async () => {
    const asked = () => db.query<{ n: number }>("count")`select count(*) as n from kept`;
    let n: number;
    await until("the server answers", async () => {
      try {
        [{ n }] = await asked();
        return true;
      } catch (error) {
        // A statement that was under way when the server was killed.
        assert(error instanceof DatabaseError && error.retryable, String(error));
        return false;
      }
    }, { everyMs: 0 });
    return n!;
  };
  const kill = async () => {
    Deno.kill((await readPidFile(join(dataDir, "data")))!.pid, "SIGKILL");
    await sleep(200);
  };
  const portNow = async () => (await readPidFile(join(dataDir, "data")))!.port;
  try {
    await db.query("make a table")`create table kept as select 1 as answer`;
    const port = Number(new URL(database.url).port);

    await t.step("several statements at once, at the same port", async () => {
      await kill();
      assert.deepEqual(await Promise.all(Array.from({ length: 6 }, count)), [1, 1, 1, 1, 1, 1]);
      assert.equal(await portNow(), port);
    });
    await t.step("at another port, when another program has taken it", async () => {
      await kill();
      await until("its port is free", async () => !await isListening(port));
      const holder = Deno.listen({ hostname: "127.0.0.1", port });
      const url = new URL(await database.revive());
      assert.notEqual(Number(url.port), port);
      holder.close();
      assert.equal(await count(), 1);
    });
  } finally {
    await db.close();
  }
});

Deno.test("openEmbedded() says why it cannot", async (t) => {
  const dataDir = await newDataDir();

  await t.step("a setting that the server refuses", async () => {
    await assert.rejects(
      openEmbedded({ dataDir, settings: { shared_buffers: "a 'lot'" } }),
      (error) =>
        error instanceof DatabaseError && error.message.includes(`"a 'lot'"`) &&
        error.message.includes("server.log") && error.message.includes("DATABASE_URL"),
    );
  });

  await t.step("data of another PostgreSQL", async () => {
    await Deno.writeTextFile(join(dataDir, "data", "PG_VERSION"), "17\n");
    await assert.rejects(
      openEmbedded({ dataDir }),
      (error) => error instanceof ConfigError && error.message.includes("PostgreSQL 17 made it"),
    );
  });

  await t.step("a file where the folder should be", async () => {
    const file = await newDataDir();
    await Deno.writeTextFile(file, "");
    await assert.rejects(openEmbedded({ dataDir: file }), ConfigError);
  });
});

Deno.test({
  name: "openEmbedded() as root runs where the server's user may not go",
  ignore: Deno.uid() !== 0,
  fn: async (t) => {
    const closed = await newDataDir();
    await Deno.mkdir(closed, { mode: 0o700 });
    const dataDir = join(closed, ".mpackd", "pg");
    let home = "";

    await t.step("the data lie elsewhere, with a link to them", async () => {
      await using database = await openEmbedded({ dataDir });
      home = await Deno.readLink(dataDir);
      assert.ok(home.startsWith("/var/lib/mpackd/"));
      await ask(database.url, "create table kept as select 42 as answer");
      assert.notEqual((await Deno.stat(join(home, "data"))).uid, 0);
    });

    await t.step("the next one finds them", async () => {
      await using database = await openEmbedded({ dataDir });
      assert.deepEqual(await ask(database.url, "select answer from kept"), [42]);
    });

    await t.step("a folder with data in it is not moved", async () => {
      const full = join(closed, "full");
      await Deno.mkdir(full);
      await Deno.writeTextFile(join(full, "notes"), "");
      await assert.rejects(openEmbedded({ dataDir: full }), ConfigError);
    });

    await t.step("the link's target is gone", async () => {
      await Deno.remove(home, { recursive: true });
      await using database = await openEmbedded({ dataDir });
      home = await Deno.readLink(dataDir);
      assert.deepEqual(await ask(database.url, "select to_regclass('kept') is null"), [true]);
    });
    await Deno.remove(home, { recursive: true });
  },
});

Deno.test({
  name: "createCluster() as a user without a line in /etc/passwd says what helps",
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const folder = await newDataDir();
    await Deno.mkdir(folder, { mode: 0o777 });
    await Deno.chmod(folder, 0o777);
    const { binDir } = await prepareBinaries(await openRunDir());
    const cluster = {
      dataDir: join(folder, "data"),
      logFile: join(folder, "log"),
      passwordFile: join(folder, "password"),
      user: { uid: 54_321, gid: 54_321 },
    };
    await assert.rejects(
      createCluster(cluster, { binDir }),
      (error) => error instanceof ConfigError && error.message.includes("/etc/passwd"),
    );
  },
});
