/**
 * Writes an mpack of any shape as a stream; memory does not grow with the pack's size.
 *
 * @module
 */

import { encode } from "@msgpack/msgpack";
import { ChunkWriter } from "./chunk_writer.ts";
import { Contents } from "./contents.ts";
import { History } from "./history.ts";
import { ObjectIds } from "./ids.ts";
import { type MpackShape, type Section, shapeOf } from "./shape.ts";

/**
 * Makes a pack, chunk by chunk. Chunks are 512 KiB but for the last, and belong to the caller.
 *
 * Objects are sorted by id, which takes a first pass over all contents; their ids stay in memory
 * (36 bytes each). The huge object, if there is one, stands in the middle whatever its id.
 *
 * @throws {RangeError} If the shape cannot be built.
 */
export async function* makeMpack(options: Partial<MpackShape> = {}): AsyncGenerator<Uint8Array> {
  const shape = shapeOf(options);
  const contents = new Contents(shape);
  const count = shape.objects + shape.known;
  const ids = new ObjectIds(contents, { count, bare: shape.bare });
  const parts: Parts = {
    shape,
    contents,
    ids,
    history: new History(shape, ids),
    writer: new ChunkWriter(),
  };
  parts.writer.map(shape.sections.length);
  for (const section of shape.sections) {
    parts.writer.str(section);
    yield* WRITE_SECTION[section](parts);
  }
  yield* parts.writer.end();
}

interface Parts {
  readonly shape: MpackShape;
  readonly contents: Contents;
  readonly ids: ObjectIds;
  readonly history: History;
  readonly writer: ChunkWriter;
}

const WRITE_SECTION: Record<Section, (parts: Parts) => Generator<Uint8Array>> = {
  *commits({ shape, history, writer }) {
    writer.array(shape.commits);
    for (let index = shape.commits - 1; index >= 0; index--) {
      writer.bytes(encode(history.commit(index)));
      if (writer.isDrainable) yield* writer.drain();
    }
  },
  *snapshots({ shape, history, ids, writer }) {
    writer.array(shape.snapshots);
    for (const index of history.snapshotOrder()) {
      writer.map(3);
      writer.str("snapshot_id");
      writer.str(history.snapshotId(index));
      writer.str("manifest");
      writer.map(history.manifestWindow(index).count);
      for (const object of history.manifest(index)) {
        writer.str(history.path(object));
        writer.str(ids.text(object));
      }
      writer.str("created_at");
      writer.str(history.snapshotTime(index));
      if (writer.isDrainable) yield* writer.drain();
    }
  },
  *objects({ shape, contents, ids, writer }) {
    writer.array(shape.objects);
    const [objectKey, contentKey] = ["object_id", "content"].map((key) => encode(key));
    for (const index of objectOrder(shape, contents, ids)) {
      const sizeBytes = contents.sizeBytes(index);
      writer.map(2);
      writer.bytes(objectKey);
      writer.str(ids.text(index));
      writer.bytes(contentKey);
      writer.bin(sizeBytes);
      for (let fromByte = 0; fromByte < sizeBytes;) {
        const room = writer.space(sizeBytes - fromByte);
        contents.fill(room, index, fromByte);
        fromByte += room.length;
        if (writer.isDrainable) yield* writer.drain();
      }
    }
  },
  *tags({ shape, history, writer }) {
    writer.array(shape.tags);
    for (let index = 0; index < shape.tags; index++) {
      writer.bytes(encode(history.tag(index)));
      if (writer.isDrainable) yield* writer.drain();
    }
  },
  *branch_heads({ history, writer }) {
    writer.bytes(encode(history.branchHeads()));
    yield* writer.drain();
  },
};

/** Numbers in file order; the huge one, which is the last number, goes to the middle. */
function* objectOrder(shape: MpackShape, contents: Contents, ids: ObjectIds): Generator<number> {
  const isHuge = contents.hugeIndex >= 0;
  const ordinary = shape.objects - (isHuge ? 1 : 0);
  const order = shape.sorted ? ids.sorted(ordinary) : undefined;
  const middle = isHuge ? Math.floor(ordinary / 2) : -1;
  for (let at = 0; at < ordinary; at++) {
    if (at === middle) yield contents.hugeIndex;
    yield order ? order[at] : at;
  }
  if (middle === ordinary) yield contents.hugeIndex;
}
