/**
 * What a pack has turned out to hold: its sections, and how much is in them.
 *
 * @module
 */

import type { DecoderState, MpackCounts, SectionSpan } from "./types.ts";

/** The sections so far, the last of which may still be open. */
export class Contents {
  /** The key of the top map that came last. */
  section = "";
  /** The top map's values in the order they came. */
  readonly sections: SectionSpan[] = [];
  /** What was found so far. */
  readonly counts: { -readonly [kind in keyof MpackCounts]: number } = {
    commits: 0,
    snapshots: 0,
    objects: 0,
    tags: 0,
  };

  /** Starts with nothing, or with what a saved decoder had found. */
  constructor(state?: ReturnType<Contents["save"]>) {
    if (!state) return;
    this.section = state.section;
    this.sections.push(...state.sections.map((section) => ({ ...section })));
    Object.assign(this.counts, state.counts);
  }

  /** The value of `section` begins. */
  beginSection(offsetBytes: number): void {
    this.sections.push({ name: this.section, offsetBytes, sizeBytes: 0 });
  }

  /** It ends. */
  endSection(endBytes: number): void {
    const section = this.sections[this.sections.length - 1];
    section.sizeBytes = endBytes - section.offsetBytes;
  }

  /** All of it as a record. */
  save(): Pick<DecoderState, "section" | "sections" | "counts"> {
    const sections = this.sections.map((section) => ({ ...section }));
    return { section: this.section, sections, counts: { ...this.counts } };
  }
}
