/**
 * Reads the plans that auto_explain writes to a server's log.
 *
 * @module
 */

/** A statement that touches two schemas. */
export interface Stray {
  /** The schemas of its tables, sorted. */
  readonly schemas: readonly string[];
  readonly query: string;
}

/** What `readPlans()` has found. */
export interface FoundPlans {
  /** How many plans there are. */
  readonly plans: number;
  /** One of each text. */
  readonly strays: readonly Stray[];
}

/** Schemas of every database. */
const SYSTEM = /^(pg_|information_schema$)/;

/**
 * Reads the plans in JSON, verbose, in a log.
 *
 * @param options.from Where to begin, in bytes.
 */
export async function readPlans(
  logFile: string,
  { from }: { readonly from: number },
): Promise<FoundPlans> {
  const strays = new Map<string, Stray>();
  let plans = 0, plan: string[] | undefined;
  const end = () => {
    if (plan === undefined) return;
    plans++;
    const found = new Set<string>(), text = plan.join("\n");
    for (const [, name] of text.matchAll(/"Schema": "([^"]*)"/g)) {
      if (!SYSTEM.test(name)) found.add(name);
    }
    plan = undefined;
    if (found.size < 2) return;
    const [, query = ""] = /"Query Text": "((?:[^"\\]|\\.)*)"/.exec(text) ?? [];
    strays.set(query, { schemas: [...found].sort(), query: query.slice(0, 300) });
  };
  const lines = (await Deno.open(logFile)).readable;
  let skip = from, rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of lines) {
    const bytes = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - bytes.length;
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const line of parts) {
      // The lines of a plan begin with a tab.
      if (plan !== undefined && line.startsWith("\t")) {
        plan.push(line);
        continue;
      }
      end();
      if (/^LOG: {2}duration: .* plan:$/.test(line)) plan = [];
    }
  }
  end();
  return { plans, strays: [...strays.values()] };
}
