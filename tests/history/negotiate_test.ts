import assert from "node:assert/strict";
import { negotiate } from "../../src/history/negotiate.ts";
import { MadeHistory } from "../support/history/make_history.ts";
import { indexHistory } from "../support/history/record_history.ts";
import { createFixture } from "../support/process/fixture.ts";

Deno.test("negotiate() names what both sides have, and the newest commit that is built upon", async () => {
  await using fixture = await createFixture();
  const { db, repo } = fixture, history = new MadeHistory();
  const [root, base, top] = [history.commit(), history.commit(), history.commit()];
  const side = history.commit({ parents: [root] });
  const merge = history.commit({ parents: [top, side] });
  const other = history.commit({ parents: [] });
  await indexHistory(fixture, history.pack());
  const stranger = `sha256:${"0".repeat(64)}`;
  const ask = (want: string[], have: string[]) =>
    negotiate({ db, repoId: repo.repoId, want, have });

  assert.deepEqual(await ask([merge], []), { ack: [], commonBase: undefined, ready: true });
  assert.deepEqual(await ask([merge], [stranger, root, side, base]), {
    ack: [root, side, base],
    commonBase: [side, base].sort()[0],
    ready: true,
  });
  assert.deepEqual(await ask([top], [side, stranger]), {
    ack: [side],
    commonBase: undefined,
    ready: false,
  });
  assert.deepEqual(await ask([top], [other, side, root]), {
    ack: [other, side, root],
    commonBase: root,
    ready: true,
  });
  // The client has what it wants.
  assert.deepEqual(await ask([top], [top]), { ack: [top], commonBase: top, ready: true });
  assert.deepEqual((await ask([top, other], [other])).ready, true);
  await assert.rejects(() => ask([top, stranger], [top]), { code: "history-not-found" });
});
