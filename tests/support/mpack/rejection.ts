import type { MpackErrorCode } from "../../../src/errors.ts";

/** The oracle's verdict on a pack that breaks a rule. */
export class Rejection extends Error {
  constructor(readonly code: MpackErrorCode, readonly offsetBytes: number) {
    super(`${code} at byte ${offsetBytes}`);
  }
}
