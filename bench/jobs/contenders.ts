import { graphile } from "./graphile_system.ts";
import { mpackd } from "./mpackd_system.ts";
import { pgBoss } from "./pg_boss_system.ts";
import type { Contender } from "./system.ts";

/** The job systems compared, ours first. */
export const CONTENDERS: readonly Contender[] = [
  mpackd,
  graphile({ isBatched: false }),
  graphile({ isBatched: true }),
  pgBoss,
];
