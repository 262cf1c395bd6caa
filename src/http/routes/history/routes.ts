/**
 * The routes that carry history: those of MuseHub's clients, and those to browse.
 *
 * @module
 */

import type { Route } from "../../route.ts";
import { presignObjectRoutes } from "./presign.ts";
import { refsRoutes } from "./refs.ts";

/** In the order in which a client calls them. */
export const historyRoutes: readonly Route[] = [
  ...refsRoutes,
  ...presignObjectRoutes,
];
