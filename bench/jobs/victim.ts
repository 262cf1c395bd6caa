/**
 * `victim.ts NAME URL`: a worker that says so when it begins a job, and then waits to be killed.
 *
 * @module
 */

import { CONTENDERS } from "./contenders.ts";

const [name, url] = Deno.args;
const system = await CONTENDERS.find((contender) => contender.name === name)!.open(url);
await system.startWorker(async () => {
  await Deno.stdout.write(new TextEncoder().encode("begun\n"));
  await new Promise(() => setInterval(() => {}, 60_000));
});
