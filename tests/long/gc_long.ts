import { RandomPushes } from "../support/history/random_pushes.ts";
import { createFixture } from "../support/process/fixture.ts";

Deno.test("gc beside random pushes takes nothing that is reached, for many seeds", async (t) => {
  for (let seed = 100; seed < 130; seed++) {
    await t.step(`seed ${seed}`, async () => {
      await using fixture = await createFixture();
      const pushes = new RandomPushes(fixture, seed);
      for (let round = 0; round < 12; round++) await pushes.round();
      await pushes.age();
      await pushes.gc();
      await pushes.check();
      await pushes.checkNothingElse();
    });
  }
});
