/**
 * Load by wrk: one thread, so that the server has a core.
 *
 * @module
 */

/** What one run of wrk saw. */
export interface Load {
  readonly perSecond: number;
  /** Latency that 99 of 100 stay below. */
  readonly p99Ms: number;
  readonly bytesPerSecond: number;
}

export interface LoadOptions {
  readonly connections: number;
  readonly seconds: number;
  /** A Lua script that makes the requests. Default: GET of the URL. */
  readonly script?: string;
}

const REPORT = `function done(summary, latency)
  print(string.format("FIGURES %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(99), summary.errors.status, summary.bytes))
end`;

/**
 * Asks a server for as much as it gives.
 *
 * @throws {Error} If an answer has a status of 400 or more.
 */
export async function wrk(
  url: string,
  { connections, seconds, script = "" }: LoadOptions,
): Promise<Load> {
  const path = await Deno.makeTempFile({ suffix: ".lua" });
  try {
    await Deno.writeTextFile(path, `${script}\n${REPORT}`);
    const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", path, url];
    const { code, stdout, stderr } = await new Deno.Command("wrk", { args }).output();
    const text = new TextDecoder().decode(stdout);
    const figures = /^FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(text)?.slice(1).map(Number);
    if (code !== 0 || figures === undefined) {
      throw new Error(new TextDecoder().decode(stderr) + text);
    }
    const [count, microseconds, p99, refused, bytes] = figures;
    if (refused !== 0) throw new Error(`${refused} of ${count} answers are no success`);
    const elapsed = microseconds / 1e6;
    return { perSecond: count / elapsed, p99Ms: p99 / 1000, bytesPerSecond: bytes / elapsed };
  } finally {
    await Deno.remove(path);
  }
}
