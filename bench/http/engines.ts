/**
 * Objects read over HTTP from a real S3 engine, beside a server that passes the engine's answer on.
 *
 * @module
 */

import { S3Client } from "@bradenmacdonald/s3-lite-client";
import { openStore } from "../../mod.ts";
import { startRgw } from "../../scripts/rgw.ts";
import { type S3Engine, startSwift } from "../../scripts/swift.ts";
import { loadConfig } from "../../mod.ts";
// Not the one of mod.ts: one database has several stores here.
import { indexMpack } from "../../src/jobs/index/index_mpack.ts";
import { readMarker, writeMarker } from "../../src/stream/store/store_marker.ts";
import { parseSize } from "../../scripts/mpack/shape.ts";
import { MB } from "../index/measure.ts";
import type { Part, Row } from "../index/row.ts";
import { type HttpBench, inTurns } from "./contest.ts";
import { anyOf, idsOf } from "./reads.ts";
import { type Load, wrk } from "./wrk.ts";

const BUCKET = "bench";
const OBJECTS = 200;

/** 4 KiB and 1 MiB objects from Swift. */
export const swift = (bench: HttpBench) => engine(bench, "swift", startSwift);

/** The same from Ceph's gateway. */
export const rgw = (bench: HttpBench) => engine(bench, "rgw", startRgw);

async function engine(
  bench: HttpBench,
  name: string,
  start: () => Promise<S3Engine & AsyncDisposable>,
): Promise<Part> {
  await using engine = await start();
  const { resources, authorization } = bench, { db, repoId } = resources;
  const { endpoint, region, accessKeyId, secretAccessKey } = engine;
  const client = {
    endPoint: endpoint,
    region,
    bucket: BUCKET,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
  };
  await new S3Client(client).makeBucket(BUCKET);
  const url = `s3://${BUCKET}?endpoint=${endpoint}&region=${region}`;
  const store = openStore(url, engine), rows: Row[] = [];
  // The database belongs to the folder until this store has its marker, too.
  const folder = openStore(`${resources.folder}/blobs`);
  await writeMarker(store, (await readMarker(folder))!);
  await using api = await bench.apiOn({
    ...resources.env,
    MPACK_STORE: url,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  });
  for (const [label, sizeBytes] of [["4 KiB", 4096], ["1 MiB", 1024 * 1024]] as const) {
    await resources.empty();
    const shape = { objects: OBJECTS, size: parseSize(String(sizeBytes)), seed: sizeBytes + 1 };
    const pack = await resources.make(shape), { mpackKey } = pack;
    using file = await Deno.open(pack.path);
    await store.put(`mpacks/${repoId}/${mpackKey}`, file.readable, { sizeBytes: pack.sizeBytes });
    await indexMpack({ db, store, repoId, mpackKey, config: loadConfig({}) });
    const ids = await idsOf(bench, sizeBytes);
    await using bare = await bench.bare(pack, { BARE_S3: JSON.stringify(client) });
    const authorized = `wrk.headers["Authorization"] = ${JSON.stringify(authorization)}`;
    const { ours, theirs } = await inTurns<Load & Record<string, number>>(
      bench.rounds,
      async () => ({
        ...await wrk(api.url, {
          ...bench,
          script: anyOf("/bench/bench/objects/", ids, authorized),
        }),
      }),
      async () => ({ ...await wrk(bare.url, { ...bench, script: anyOf("/s3/", ids) }) }),
    );
    const speed = ({ bytesPerSecond }: Load) => `${(bytesPerSecond / MB).toFixed(1)} MB/s`;
    rows.push({
      what: `GET an object of ${label} from ${name}`,
      ours: speed(ours),
      against: `a GET passed on: ${speed(theirs)}`,
      value: ours.bytesPerSecond / theirs.bytesPerSecond,
      aim: { atLeast: 0.7 },
    });
  }
  return { name, rows };
}
