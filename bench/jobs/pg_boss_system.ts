import { PgBoss } from "pg-boss";
import type { Contender, System } from "./system.ts";

const QUEUE = "noop";
const INSERT_BATCH = 1_000;

/** pg-boss: one job fetched and completed at a time, by one loop for each of the concurrent jobs. */
export const pgBoss: Contender = { name: "pg-boss 12.38 (single)", open };

async function open(connectionString: string): Promise<System> {
  const boss = new PgBoss({
    connectionString,
    max: 26,
    useListenNotify: true,
    supervise: false,
    schedule: false,
  });
  boss.on("error", () => {});
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });
  return {
    async fill(count) {
      for (let at = 0; at < count; at += INSERT_BATCH) {
        const size = Math.min(INSERT_BATCH, count - at);
        await boss.insert(QUEUE, Array.from({ length: size }, () => ({ data: {} })));
      }
    },
    async burnDown(_count, concurrency) {
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: concurrency }, async () => {
        for (;;) {
          const [job] = await boss.fetch(QUEUE);
          if (job === undefined) return;
          await boss.complete(QUEUE, job.id);
        }
      }));
      return performance.now() - startedAt;
    },
    async startWorker(onJob) {
      const id = await boss.work(QUEUE, () => Promise.resolve(onJob()));
      return { [Symbol.asyncDispose]: () => boss.offWork(QUEUE, { id, wait: true }) };
    },
    async add() {
      await boss.send(QUEUE, {});
    },
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false, close: true }),
  };
}
