/**
 * The faults that the tests have to notice, each as an exact replacement of text.
 *
 * @module
 */

/** One deliberate fault. */
export interface Mutant {
  /** What is wrong then. */
  readonly name: string;
  /** Where. */
  readonly file: string;
  /** The sound text; it must be there exactly once. */
  readonly from: string;
  /** What stands there instead. */
  readonly to: string;
  /** The test files that are to notice. */
  readonly tests: readonly string[];
}

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "the fence is dropped from the publish",
    file: "src/db/publish/publish_statement.ts",
    from: "where job_id = ${lease.jobId} and fence = ${lease.fence}::bigint\n",
    to: "where job_id = ${lease.jobId}\n",
    tests: ["tests/db/publish/publish_test.ts"],
  },
  {
    name: "the digest is compared before the last chunk",
    file: "src/jobs/index/stream_mpack.ts",
    from: "      hasher.update(buffer, sizeBytes);\n",
    to:
      "      if (decoder.offsetBytes < reader.stat.sizeBytes) hasher.update(buffer, sizeBytes);\n",
    tests: ["tests/jobs/index/index_mpack_test.ts"],
  },
  {
    name: "a digest that differs is accepted",
    file: "src/jobs/index/stream_mpack.ts",
    from: "if (key !== this.#job.mpackKey) {",
    to: "if (key.length !== this.#job.mpackKey.length) {",
    tests: ["tests/jobs/index/index_mpack_test.ts"],
  },
  {
    name: "the sort is removed from the publish",
    file: "src/db/publish/publish_statement.ts",
    from: "      order by s.batch\n",
    to: "",
    tests: ["tests/db/publish/publish_test.ts"],
  },
  {
    name: "the offset of a content is off by one",
    file: "src/stream/mpack/object_reader.ts",
    from: "pushIfId(view, idAt, idBytes, contentOffset, contentBytes)",
    to: "pushIfId(view, idAt, idBytes, contentOffset + 1, contentBytes)",
    tests: ["tests/stream/mpack/mpack_decoder_test.ts"],
  },
  {
    name: "staged rows of the attempt before are kept",
    file: "src/db/publish/stage.ts",
    from: "where ${isFirst}::boolean and s.job_id",
    to: "where ${isFirst}::boolean and false and s.job_id",
    tests: ["tests/db/publish/stage_test.ts"],
  },
  {
    name: "an empty object is skipped",
    file: "src/stream/mpack/object_reader.ts",
    from: "if (!this.#rows.pushIfId(",
    to: "if (contentBytes > 0 && !this.#rows.pushIfId(",
    tests: ["tests/stream/mpack/mpack_decoder_test.ts"],
  },
  {
    name: "the lease is not checked when a batch is staged",
    file: "src/db/publish/stage.ts",
    from: "and fence = ${lease.fence}::bigint and status = 'running'",
    to: "",
    tests: ["tests/db/publish/stage_test.ts"],
  },
  {
    name: "the ETag is not pinned on resume",
    file: "src/jobs/index/open_pack.ts",
    from: "{ offsetBytes: offset_bytes, etag, signal }",
    to: "{ offsetBytes: offset_bytes, signal }",
    tests: ["tests/jobs/index/resume_test.ts"],
  },
  {
    name: "the midstate of a checkpoint is one buffer late",
    file: "src/jobs/index/stream_mpack.ts",
    from: `      hasher.update(buffer, sizeBytes);
      this.#report("stream", decoder, reader);
      await this.#materializer?.drain();
      await this.#context.witness?.drain();
      if (this.#isDue(decoder, reader)) await this.#stage(decoder, hasher, reader);
`,
    to: `      this.#report("stream", decoder, reader);
      await this.#materializer?.drain();
      await this.#context.witness?.drain();
      if (this.#isDue(decoder, reader)) await this.#stage(decoder, hasher, reader);
      hasher.update(buffer, sizeBytes);
`,
    tests: ["tests/jobs/index/resume_test.ts"],
  },
  {
    name: "a key may come twice",
    file: "src/stream/mpack/key_set.ts",
    from: "    if (!this.#insert(high, low)) return false;\n",
    to: "    if (!this.#insert(high, low)) return true;\n",
    tests: ["tests/corpus/malicious_test.ts"],
  },
  {
    name: "a read looks at the refs of every repo",
    file: "src/db/refs.ts",
    from: "      where r.repo_id = ${repoId} and r.object_id = any(",
    to: "      where r.object_id = any(",
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a ref may lead into another repo's pack",
    file: "src/db/refs.ts",
    from: `      join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
      where r.repo_id = \${repoId} and r.object_id = any`,
    to: `      join musehub_mpacks m on m.mpack_id = r.mpack_id
      where r.repo_id = \${repoId} and r.object_id = any`,
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a ref may lead into another repo's pack, read one by one",
    file: "src/db/refs.ts",
    from: `      join musehub_mpacks m on m.mpack_id = r.mpack_id and m.repo_id = r.repo_id
      where r.repo_id = \${repoId} and r.object_id = \${objectId}`,
    to: `      join musehub_mpacks m on m.mpack_id = r.mpack_id
      where r.repo_id = \${repoId} and r.object_id = \${objectId}`,
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a group of packs is published without their fences",
    file: "src/db/publish/publish_together.ts",
    from: "where j.job_id = given.job_id and j.fence = given.fence\n",
    to: "where j.job_id = given.job_id\n",
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "a group's refs are not inserted in the order of their keys",
    file: "src/db/publish/publish_together.ts",
    from: 'order by repo_id collate "C", object_id collate "C", n\n',
    to: 'order by object_id collate "C", repo_id collate "C", n\n',
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "a group takes another repo's ref for its own",
    file: "src/db/publish/publish_together.ts",
    from: "where r.repo_id = suspect.repo_id and r.object_id = suspect.object_id limit 1",
    to: "where r.object_id = suspect.object_id limit 1",
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "a group whose hope was in vain is given up",
    file: "src/db/publish/publish_together.ts",
    from: "if (!isUniqueViolation(error)) throw error;",
    to: "throw error;",
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "rows that have come since a batch was staged are not looked for",
    file: "src/db/publish/publish.ts",
    from: "if (!pack.isStageFresh || !isUniqueViolation(error)) throw error;",
    to: "throw error;",
    tests: ["tests/db/publish/publish_test.ts"],
  },
  {
    name: "the ghost guard, when it keeps ids, looks at the refs of every repo",
    file: "src/db/publish/guard_rows.ts",
    from: `id from unnest(\${arrayLiteral(ids)}::text[]) id
        where not exists (
          select from musehub_object_refs r where r.repo_id = \${repoId} and`,
    to: `id from unnest(\${arrayLiteral(ids)}::text[]) id
        where not exists (
          select from musehub_object_refs r where`,
    tests: ["tests/objects/guard_test.ts"],
  },
  {
    name: "the ghost guard, when it settles, looks at the refs of every repo",
    file: "src/db/publish/guard_rows.ts",
    from: `from absent
        where not exists (
          select from musehub_object_refs r where r.repo_id = \${repoId} and`,
    to: `from absent
        where not exists (
          select from musehub_object_refs r where`,
    tests: ["tests/objects/guard_test.ts"],
  },
  {
    name: "readers do not compare the digest",
    file: "src/objects/check_object.ts",
    from: "if (isSameId(found, this.#location.objectId)) return;",
    to: "if (found.length > 0) return;",
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a publish does not count the staged rows",
    file: "src/db/publish/publish_statement.ts",
    from: "where conflicts = 0 and found = ${pack.objects}::bigint and names = 0",
    to: "where conflicts = 0 and names = 0",
    tests: ["tests/db/publish/publish_test.ts"],
  },
  {
    name: "a claim does not raise the fence",
    file: "src/jobs/queue/claim_jobs.ts",
    from: "fence = coalesce(j.fence, 0) + 1,",
    to: "fence = coalesce(j.fence, 0),",
    tests: ["tests/jobs/queue_test.ts"],
  },
  {
    name: "a wait for the store relies on fetch to hear its abort",
    file: "src/stream/store/s3/answer.ts",
    from: "return await withDeadline(promise(), { deadlineMs: waitMs, error, signal });",
    to: "return await promise();",
    tests: ["tests/stream/store/s3_faults_test.ts"],
  },
];
