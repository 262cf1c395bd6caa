/**
 * The routes that carry history: those of MuseHub's clients, and those to browse.
 *
 * @module
 */

import { type Route, tagged } from "../../route.ts";
import { fetchRoutes } from "./fetch.ts";
import { negotiateRoutes } from "./negotiate.ts";
import { presignObjectRoutes } from "./presign.ts";
import { pushRoutes } from "./push.ts";
import { pushObjectsRoutes } from "./push_objects.ts";
import { refsRoutes } from "./refs.ts";
import { blobRoutes } from "./blob.ts";
import { commitsRoutes } from "./commits.ts";
import { tagsRoutes } from "./tags.ts";
import { treeRoutes } from "./tree.ts";

/** In the order in which a client calls them. */
export const historyRoutes: readonly Route[] = [
  ...tagged("MuseHub's clients", [
    ...refsRoutes,
    ...presignObjectRoutes,
    ...pushObjectsRoutes,
    ...pushRoutes,
    ...negotiateRoutes,
    ...fetchRoutes,
    ...tagsRoutes,
  ]),
  ...tagged("History", [
    ...commitsRoutes,
    ...treeRoutes,
    ...blobRoutes,
  ]),
];
