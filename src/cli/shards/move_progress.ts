import type { MoveProgress } from "../../maintenance/shards/move_options.ts";
import { tell } from "../output.ts";
import { counted, LiveLine } from "../terminal.ts";

const SENTENCES: Record<MoveProgress["step"], string> = {
  check: "Looking at both servers",
  begin: "Noting the move in the catalog",
  schema: "Making the schema on the target",
  publish: "Publishing the shard's tables on the source",
  subscribe: "Subscribing to them on the target",
  copy: "Copying: readers and writers go on",
  drain: "Letting running jobs end: writers wait from here on",
  fence: "Fencing the source",
  replay: "Letting the target replay the rest",
  compare: "Comparing both sides",
  detach: "Making the target independent",
  flip: "Turning the catalog over",
  back: "Going back, to begin again",
  abort: "Aborting: writers go on at the source, and the rest is removed",
};

/** Tells each step of a move on stderr, in a line of its own, and on a terminal how far it is. */
export class MoveTeller {
  readonly #line = new LiveLine();
  readonly #isQuiet: boolean;
  #step = "";
  #reason = "";

  constructor({ isQuiet }: { readonly isQuiet: boolean }) {
    this.#isQuiet = isQuiet;
  }

  /** Tells it. */
  show({ step, done, total, bytes, waitingFor }: MoveProgress): void {
    if (this.#isQuiet) return;
    if (step !== this.#step) {
      this.#line.clear();
      this.#step = step;
      tell(SENTENCES[step]);
    }
    if (waitingFor !== undefined && waitingFor !== this.#reason) {
      this.#line.clear();
      this.#reason = waitingFor;
      tell(step === "back" ? `The copy is lost: ${waitingFor}` : `Trying again: ${waitingFor}`);
    }
    if (bytes === undefined) return;
    const note = total === undefined ? undefined : `${done} of ${counted(total, "table")}`;
    this.#line.show({ label: step, bytes, sizeBytes: 0, note });
  }

  /** Removes the live line. */
  [Symbol.dispose](): void {
    this.#line.clear();
  }
}
