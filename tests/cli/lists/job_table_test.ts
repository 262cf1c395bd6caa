import assert from "node:assert/strict";
import { jobTable } from "../../../src/cli/job_text.ts";
import type { JobRow } from "../../../src/jobs/queue/job.ts";

Deno.test("jobTable() fits the terminal: the code is the last to give way", () => {
  const job = {
    jobId: `sha256:${"1".repeat(64)}`,
    repoId: "r",
    jobType: "mpack.index",
    status: "failed",
    payload: { mpack_key: `sha256:${"2".repeat(64)}` },
    createdAt: new Date(),
    attempt: 1,
    maxAttempts: 10,
    startedAt: null,
    finishedAt: null,
    lastError: { code: "digest-mismatch", message: "", retryable: false },
  } as unknown as JobRow;
  const names = new Map([["r", "a-long-owner/and-a-long-slug-of-a-repo"]]);
  const whole = jobTable([job], names).split("\n");
  assert.match(
    whole[1],
    /^1{12} {2}failed {2}a-long-owner\/and-a-long-slug-of-a-repo {2}2{12} {2}mpack/,
  );
  for (const width of [120, 100, 80, 40]) {
    const lines = jobTable([job], names, width).split("\n");
    assert.ok(lines.every((line) => line.length <= width), String(width));
  }
  const [, fitted] = jobTable([job], names, 100).split("\n");
  assert.match(fitted, /a-long-owner\S+… {2}2{12} {2}1\/10/);
  assert.match(fitted, /digest-mismatch$/);
  // The code is what a list of failed jobs is looked at for.
  const [, narrow] = jobTable([job], names, 80).split("\n");
  assert.match(narrow, /digest-mismatch$/);
  const done = { ...job, status: "done", lastError: null } as JobRow;
  const [heads] = jobTable([done], names, 70).split("\n");
  assert.match(heads, /pack {2,}attempt {2}created$/);
});
