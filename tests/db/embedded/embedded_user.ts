/** A second process for embedded_test.ts: opens the database, says so, closes it when told to. */
import { openEmbedded } from "../../../src/db/embedded/open_embedded.ts";

const [dataDir] = Deno.args;
await using database = await openEmbedded({ dataDir });
console.log(database.url);
for await (const _ of Deno.stdin.readable) break;
