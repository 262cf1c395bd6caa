/**
 * The suites of the S3 store on a second engine: Ceph's RADOS Gateway.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRgw } from "../../scripts/rgw.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const SUITES = [
  "tests/stream/store/s3_store_test.ts",
  "tests/cli/index_s3_test.ts",
  "tests/http/walk_test.ts",
  "tests/http/upload_parts_test.ts",
  "tests/http/seed_client_test.ts",
];

const isInstalled = await new Deno.Command("which", { args: ["radosgw", "ceph-mon", "ceph-osd"] })
  .output().then(({ success }) => success, () => false);

Deno.test({
  name: "the S3 store, the commands and the server pass their tests on Ceph",
  ignore: !isInstalled,
  async fn() {
    await using engine = await startRgw();
    const url = new URL(engine.endpoint);
    url.username = engine.accessKeyId;
    url.password = engine.secretAccessKey;
    url.searchParams.set("region", engine.region);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--quiet", "--no-check", ...SUITES],
      cwd: ROOT,
      env: { MPACKD_TEST_S3: url.href, NO_COLOR: "1" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.ok(success, text(stdout) + text(stderr));
  },
});
