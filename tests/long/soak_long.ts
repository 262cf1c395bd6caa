/**
 * A worker that has done much holds no more than one that has done little: `deno task test:long`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { soak, together } from "../simulator/soak.ts";

/** 1 runs the size of the promise: 10,000 small jobs, 20 large ones. CI runs an eighth. */
const SHARE = Number(Deno.env.get("MPACKD_TEST_SHARE") ?? 1 / 8);
const MIB = 1024 ** 2;
/** The memory of a young process still grows by code that is compiled and heaps that settle. */
const TOLERANCE = 1.25;
/** A pool fills as jobs meet. What leaks with each job leaks hundreds. */
const SLACK = 8;
/** Four jobs, a heartbeat, a claim, and the connection that listens. */
const MOST_CONNECTIONS = 7;

Deno.test({
  name: "a worker's memory, handles, threads and connections do not grow with the jobs it has done",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const slices = await soak({
      smallJobs: Math.round(10_000 * SHARE),
      largeJobs: Math.max(8, Math.round(20 * SHARE)),
      largeBytes: Math.round(256 * MIB * SHARE),
      slices: 8,
    });
    // The first quarter warms up.
    const early = together(slices.slice(2, 4)), late = together(slices.slice(-2));
    console.table({ early, late });
    assert.ok(late.handles <= early.handles + SLACK, `${early.handles} to ${late.handles} handles`);
    assert.ok(late.threads <= early.threads + SLACK, `${early.threads} to ${late.threads} threads`);
    assert.ok(late.connections <= MOST_CONNECTIONS, `${late.connections} connections`);
    assert.ok(late.rssMb <= TOLERANCE * early.rssMb, `${early.rssMb} to ${late.rssMb} MB`);
  },
});
