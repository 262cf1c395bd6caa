/**
 * Checks again, while a long request runs, that its caller may still make it: the token, identity,
 * collaborator or repo may be gone.
 *
 * @module
 */

/** How long a revoked caller can go on at most, while bytes move. */
const RECHECK_MS = 5_000;

/** Checks if the last check is old. Throws an HttpProblem if access is lost. */
export type Recheck = () => Promise<void>;

/** Makes a recheck that runs `check` at most every five seconds, and first after five. */
export function recheckEvery(check: () => Promise<unknown>): Recheck {
  let dueAt = performance.now() + RECHECK_MS;
  return async () => {
    if (performance.now() < dueAt) return;
    dueAt = performance.now() + RECHECK_MS;
    await check();
  };
}

/** Passes a body on while access lasts; the last check is before the end, so before the publish. */
export async function* whileAllowed<T>(
  body: AsyncIterable<T>,
  recheck: Recheck,
): AsyncGenerator<T, void, undefined> {
  for await (const chunk of body) {
    await recheck();
    yield chunk;
  }
  await recheck();
}
