import assert from "node:assert/strict";
import { layOut } from "../../../src/db/embedded/binaries.ts";

Deno.test("layOut() makes programs executable that a compiled mpackd has as read-only files", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mpackd-test-" });
  const [from, to] = [`${folder}/from`, `${folder}/to`];
  await Deno.mkdir(`${from}/bin`, { recursive: true });
  await Deno.mkdir(`${from}/share`);
  // The mode of every file inside a program that `deno compile` made.
  for (const path of ["bin/initdb", "share/pg_hba.conf.sample"]) {
    await Deno.writeTextFile(`${from}/${path}`, "#!/bin/sh\necho started\n", { mode: 0o444 });
  }
  await layOut(from, to);
  const { stdout } = await new Deno.Command(`${to}/bin/initdb`).output();
  assert.equal(new TextDecoder().decode(stdout), "started\n");
  assert.equal((await Deno.stat(`${to}/share/pg_hba.conf.sample`)).mode! & 0o111, 0);
  await Deno.remove(folder, { recursive: true });
});
