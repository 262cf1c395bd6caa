/**
 * The sections of a pack, and how many records they have.
 *
 * @module
 */

import type { DecoderState, MpackCounts, SectionSpan } from "./types.ts";

/** The sections so far, the last of which may still be open. */
export class Contents {
  /** The last key of the top map. */
  section = "";
  /** The top map's values in the order they came. */
  readonly sections: SectionSpan[] = [];
  readonly counts: { -readonly [kind in keyof MpackCounts]: number } = {
    commits: 0,
    snapshots: 0,
    objects: 0,
    tags: 0,
  };

  constructor(state?: ReturnType<Contents["save"]>) {
    if (!state) return;
    this.section = state.section;
    this.sections.push(...state.sections.map((section) => ({ ...section })));
    Object.assign(this.counts, state.counts);
  }

  beginSection(offsetBytes: number): void {
    this.sections.push({ name: this.section, offsetBytes, sizeBytes: 0 });
  }

  endSection(endBytes: number): void {
    const section = this.sections[this.sections.length - 1];
    section.sizeBytes = endBytes - section.offsetBytes;
  }

  save(): Pick<DecoderState, "section" | "sections" | "counts"> {
    const sections = this.sections.map((section) => ({ ...section }));
    return { section: this.section, sections, counts: { ...this.counts } };
  }
}
