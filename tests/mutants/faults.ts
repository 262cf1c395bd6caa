/**
 * The faults that the tests have to notice.
 *
 * @module
 */

import type { Place } from "./locate.ts";

/** One deliberate fault. */
export interface Mutant extends Place {
  /** What is wrong then. */
  readonly name: string;
  /** The test files that are to notice. */
  readonly tests: readonly string[];
}

const FUNCTIONS = "src/db/schema/functions";
const PUBLISH = `${FUNCTIONS}/publish_1.sql`;

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "the publish does not check the fence",
    file: PUBLISH,
    within: "1",
    from: "and j.fence = p.fence",
    to: "",
    tests: ["tests/db/publish/publisher_test.ts", "tests/db/publish/publish_fuzz_test.ts"],
  },
  {
    name: "a tombstone does not stop the publish",
    file: PUBLISH,
    within: "2",
    from: "one.is_tombstoned",
    to: "false",
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "the refs of staged batches are not inserted in the order of the batches",
    file: PUBLISH,
    within: "4",
    from: "order by s.batch",
    to: "order by s.batch desc",
    everywhere: true,
    tests: ["tests/db/publish/publish_test.ts", "tests/db/publish/batches_test.ts"],
  },
  {
    name: "the refs of a group are not inserted in the order of their keys",
    file: PUBLISH,
    within: "4",
    from: 'order by repo_ranks[u.place], u.object_id collate "C",',
    to: 'order by repo_ranks[u.place] desc, u.object_id collate "C" desc,',
    everywhere: true,
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "a group takes another repo's ref for its own",
    file: PUBLISH,
    within: "4",
    from: "r.repo_id = repos[u.place] and",
    to: "",
    tests: ["tests/db/publish/publisher_test.ts"],
  },
  {
    name: "a publish fails for a ref that has appeared since the batch was staged",
    file: PUBLISH,
    within: "4",
    from: "exception when unique_violation then null;",
    to: "",
    tests: ["tests/db/publish/publish_test.ts", "tests/db/publish/batches_test.ts"],
  },
  {
    name: "objects written in batches are not counted in the result",
    file: PUBLISH,
    within: "6",
    from: "coalesce(j.objects_written, 0) + objects_added[one.place]",
    to: "objects_added[one.place]",
    tests: ["tests/db/publish/publish_test.ts", "tests/db/publish/batches_test.ts"],
  },
  {
    name: "objects fail for one that has appeared since the batch was staged",
    file: `${FUNCTIONS}/write_objects_1.sql`,
    within: "2",
    from: "exception when unique_violation then is_fresh := false;",
    to: "",
    tests: ["tests/db/publish/publish_test.ts", "tests/db/publish/batches_test.ts"],
  },
  {
    name: "a later attempt counts written objects from zero",
    file: `${FUNCTIONS}/write_objects_1.sql`,
    within: "3",
    from: "coalesce(j.objects_written, 0) +",
    to: "",
    tests: ["tests/db/publish/batches_test.ts"],
  },
  {
    name: "objects are written without the fence",
    file: `${FUNCTIONS}/write_objects_1.sql`,
    within: "1",
    from: "and j.fence = under_fence and j.status = 'running'",
    to: "",
    tests: ["tests/db/publish/batches_test.ts", "tests/jobs/queue_test.ts"],
  },
  {
    name: "two sizes of one id are no conflict",
    file: `${FUNCTIONS}/prepare_1.sql`,
    within: "2",
    from: "and lag(size_bytes) over same <> size_bytes",
    to: "and false",
    tests: ["tests/db/publish/publish_fuzz_test.ts"],
  },
  {
    name: "staged rows of the attempt before are kept",
    file: `${FUNCTIONS}/stage_1.sql`,
    within: "2",
    from: "if is_first then",
    to: "if false then",
    tests: ["tests/db/publish/stage_test.ts"],
  },
  {
    name: "a batch is staged without a look at the lease",
    file: `${FUNCTIONS}/stage_1.sql`,
    within: "1",
    from: "and fence = under_fence and status = 'running'",
    to: "",
    tests: ["tests/db/publish/stage_test.ts"],
  },
  {
    name: "a claim does not raise the fence",
    file: "src/jobs/queue/claim_jobs.ts",
    from: "::bigint - 1) + 1,",
    to: "::bigint - 1),",
    tests: ["tests/jobs/queue_test.ts"],
  },
  {
    name: "the digest is compared before the last chunk",
    file: "src/jobs/index/stream_mpack.ts",
    within: "#stream",
    from: "hasher.update(buffer, sizeBytes);",
    to: "if (decoder.offsetBytes < reader.stat.sizeBytes) $&",
    tests: ["tests/jobs/index/index_mpack_test.ts"],
  },
  {
    name: "a digest that differs is accepted",
    file: "src/jobs/index/prove.ts",
    within: "provePack",
    from: "key !== mpackKey",
    to: "key.length !== mpackKey.length",
    tests: ["tests/jobs/index/index_mpack_test.ts"],
  },
  {
    name: "the midstate of a checkpoint is one buffer late",
    file: "src/jobs/index/stream_mpack.ts",
    within: "#stream",
    from: `decoder.write(buffer.subarray(0, sizeBytes));
      hasher.update(buffer, sizeBytes);`,
    to: `decoder.write(buffer.subarray(0, sizeBytes));
      if (this.#stager.isDue(pack)) await this.#stager.stage(pack, this.readBytes);
      hasher.update(buffer, sizeBytes);`,
    tests: ["tests/jobs/index/resume_test.ts"],
  },
  {
    name: "the ETag is not pinned on resume",
    file: "src/jobs/index/open_pack.ts",
    within: "openRest",
    from: "{ offsetBytes: offset_bytes, etag, signal }",
    to: "{ offsetBytes: offset_bytes, signal }",
    tests: ["tests/jobs/index/resume_test.ts"],
  },
  {
    name: "the offset of a content is off by one",
    file: "src/stream/mpack/object_reader.ts",
    within: "readWhole",
    from: "idAt, idBytes, contentOffset, contentBytes)",
    to: "idAt, idBytes, contentOffset + 1, contentBytes)",
    tests: ["tests/stream/mpack/mpack_decoder_test.ts"],
  },
  {
    name: "an empty object is skipped",
    file: "src/stream/mpack/object_reader.ts",
    within: "readWhole",
    from: "if (!this.#rows.pushIfId(",
    to: "if (contentBytes > 0 && !this.#rows.pushIfId(",
    tests: ["tests/stream/mpack/mpack_decoder_test.ts"],
  },
  {
    name: "a key may come twice",
    file: "src/stream/mpack/key_set.ts",
    from: "if (!this.#insert(high, low)) return false;",
    to: "if (!this.#insert(high, low)) return true;",
    tests: ["tests/corpus/malicious_test.ts"],
  },
  {
    name: "a batch without rows shares the arrays of later rows",
    file: "src/stream/mpack/column_builder.ts",
    within: "take",
    from: 'idsText: "", contentOffsets: [], sizesBytes: []',
    to: 'idsText: "", contentOffsets, sizesBytes',
    tests: ["tests/stream/mpack/column_builder_test.ts"],
  },
  {
    name: "a read of many looks at the refs of every repo",
    file: "src/db/refs.ts",
    within: "findLocations",
    from: "where r.repo_id = ${repoId} and",
    to: "where",
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a read of many follows a ref into another repo's mpack",
    file: "src/db/refs.ts",
    within: "findLocations",
    from: "and m.repo_id = r.repo_id",
    to: "",
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a read of one follows a ref into another repo's mpack",
    file: "src/db/refs.ts",
    within: "findLocation",
    from: "and m.repo_id = r.repo_id",
    to: "",
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "the ghost guard, when it keeps ids, looks at the refs of every repo",
    file: "src/db/publish/guard_rows.ts",
    within: "spillNamed",
    from: "r.repo_id = ${repoId} and",
    to: "",
    tests: ["tests/objects/guard_test.ts"],
  },
  {
    name: "the ghost guard, when it settles, looks at the refs of every repo",
    file: "src/db/publish/guard_rows.ts",
    within: "settleGuard",
    from: "r.repo_id = ${repoId} and",
    to: "",
    tests: ["tests/objects/guard_test.ts"],
  },
  {
    name: "readers do not compare the digest",
    file: "src/objects/check_object.ts",
    within: "finish",
    from: "isSameId(found, this.#location.objectId)",
    to: "found.length > 0",
    tests: ["tests/http/tenants_test.ts"],
  },
  {
    name: "a wait for the store relies on fetch to hear its abort",
    file: "src/stream/store/s3/answer.ts",
    within: "within",
    from: "{ deadlineMs: waitMs, error, signal }",
    to: "{ deadlineMs: waitMs, error }",
    tests: ["tests/stream/store/s3_faults_test.ts"],
  },
  {
    name: "a publish goes one pack over the quota",
    file: `${FUNCTIONS}/usage_1.sql`,
    from: "of_limit.used > of_limit.most then raise",
    to: "of_limit.used - of_limit.added > of_limit.most then raise",
    tests: ["tests/db/quotas/quotas_test.ts"],
  },
  {
    name: "what gc deletes goes on counting",
    file: "src/db/garbage.ts",
    within: "uncount",
    from: "array_agg(-coalesce(size_bytes, 0))",
    to: "array_agg(0 * coalesce(size_bytes, 0))",
    tests: ["tests/db/quotas/quotas_test.ts"],
  },
  {
    name: "a push is stored before its quotas are asked for",
    file: "src/jobs/index/push_mpack.ts",
    from: "if (this.#admission !== undefined) requireLeft",
    to: "if (false) requireLeft",
    tests: ["tests/http/quotas/quotas_test.ts"],
  },
];
