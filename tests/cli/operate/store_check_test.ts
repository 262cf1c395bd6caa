import assert from "node:assert/strict";
import { storeCheck } from "../../../src/cli/open_worker.ts";
import { claimStore } from "../../../src/maintenance/store_owner.ts";
import { createFixture } from "../../support/process/fixture.ts";

Deno.test("storeCheck() says whether the store answers and has its marker, and asks seldom", async () => {
  await using fixture = await createFixture();
  const { db, store } = fixture;
  assert.equal(await storeCheck(store)(), false);
  await claimStore({ db, store, config: fixture.config() });
  let opened = 0;
  const check = storeCheck({
    ...store,
    open: (key, options) => {
      opened++;
      return store.open(key, options);
    },
  });
  for (let i = 0; i < 100; i++) assert.equal(await check(), true);
  assert.equal(opened, 1);
  const silent = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error("gone")), 1);
  });
  assert.equal(await storeCheck({ ...store, open: () => silent })(), false);
});
