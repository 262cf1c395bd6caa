/**
 * What publishing must do, as a few maps: the oracle for the database's functions.
 *
 * @module
 */

import type { PublishOutcome } from "../../../src/db/publish/publish_outcome.ts";
import type { PublishPack } from "../../../src/db/publish/publish_pack.ts";
import type { ObjectColumns } from "../../../src/lib/object_columns.ts";

interface Ref {
  mpackKey: string;
  at: number;
  size: number;
  damage: string | null;
}

/** One decoded object. */
export interface ModelRow {
  /** Its id. */
  readonly id: string;
  /** Where its content begins. */
  readonly at: number;
  /** Its length. */
  readonly size: number;
}

/** The rows of a batch, one by one. */
export function rowsOf({ length, idsText, contentOffsets, sizesBytes }: ObjectColumns): ModelRow[] {
  const ids = length === 0 ? [] : idsText.split(",");
  return ids.map((id, i) => ({ id, at: contentOffsets[i], size: sizesBytes[i] }));
}

/** The tables. */
export class PublishModel {
  readonly #objects = new Map<string, { uri: string; at: number; size: number }>();
  readonly #refs = new Map<string, Ref>();
  readonly #mpacks = new Map<string, string>();

  /** Publishes one pack of these rows; answers what `publish()` should, but for ids and times. */
  publish(pack: PublishPack, rows: readonly ModelRow[], isTombstoned: boolean) {
    if (rows.length !== pack.objects) {
      return { outcome: "rows-missing", found: rows.length, expected: pack.objects };
    }
    const first = new Map<string, ModelRow>(), latest = new Map<string, ModelRow>();
    let duplicateObjects = 0;
    for (const row of rows) {
      const before = latest.get(row.id);
      if (before !== undefined) {
        duplicateObjects++;
        if (before.size !== row.size) {
          return {
            outcome: "conflict",
            objectId: row.id,
            firstOffset: before.at,
            secondOffset: row.at,
          };
        }
      } else first.set(row.id, row);
      latest.set(row.id, row);
    }
    if (isTombstoned) return { outcome: "tombstoned" };
    const { repoId, mpackKey, blobKey, etag } = pack;
    this.#mpacks.set(JSON.stringify([repoId, mpackKey]), JSON.stringify([blobKey, etag]));
    let objectsWritten = 0, objectRefsWritten = 0, healedRefs = 0;
    for (const { id, at, size } of first.values()) {
      if (!this.#objects.has(id)) {
        this.#objects.set(id, { uri: pack.storageUri, at, size });
        objectsWritten++;
      }
      const key = JSON.stringify([repoId, id]), known = this.#refs.get(key);
      if (known === undefined) {
        this.#refs.set(key, { mpackKey, at, size, damage: null });
        objectRefsWritten++;
      } else if (
        known.damage === "loss" || known.damage === "lie" && known.mpackKey !== mpackKey
      ) {
        this.#refs.set(key, { mpackKey, at, size, damage: null });
        healedRefs++;
      }
    }
    return {
      outcome: "published",
      objectsWritten,
      objectRefsWritten,
      duplicateObjects,
      healedRefs,
    };
  }

  /** Marks a ref damaged, if it is there. */
  damage(repoId: string, id: string, damage: "lie" | "loss"): void {
    const ref = this.#refs.get(JSON.stringify([repoId, id]));
    if (ref !== undefined) ref.damage = damage;
  }

  /** Everything, in the form of {@link dumpModelled}. */
  dump(): string[] {
    return [
      ...[...this.#objects].map(([id, { uri, at, size }]) => JSON.stringify([id, uri, at, size])),
      ...[...this.#refs].map(([key, { mpackKey, at, size, damage }]) =>
        JSON.stringify([...JSON.parse(key), mpackKey, at, size, damage])
      ),
      ...[...this.#mpacks].map(([key, value]) =>
        JSON.stringify([...JSON.parse(key), ...JSON.parse(value)])
      ),
    ].sort();
  }
}

/** The outcome without what the model cannot know. */
export function withoutIds(outcome: PublishOutcome): Record<string, unknown> {
  if (outcome.outcome !== "published") return { ...outcome };
  const { mpackId: _mpackId, result: _result, ...rest } = outcome;
  return rest;
}
