import { fuzzHttp1 } from "../support/attack/fuzz_http1.ts";
import { fuzzHttp2 } from "../support/attack/fuzz_http2.ts";

/** Another one each day; MPACKD_FUZZ_SEED repeats one. */
const SEED = Number(Deno.env.get("MPACKD_FUZZ_SEED") ?? Math.floor(Date.now() / 86_400_000));

Deno.test("25,000 connections of raw bytes do the server no harm", async () => {
  await fuzzHttp1(25_000, SEED);
});

Deno.test("3,000 connections of HTTP/2 frames do the server no harm", async () => {
  await fuzzHttp2(3_000, SEED);
});
