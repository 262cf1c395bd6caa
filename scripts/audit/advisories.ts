/**
 * Asks npm's registry which packages have known vulnerabilities.
 *
 * @see {@link https://docs.npmjs.com/cli/v11/commands/npm-audit#bulk-advisory-endpoint | the endpoint}
 * @module
 */

const DEADLINE_MS = 30_000;
const SHOWN_CHARACTERS = 200;

interface Advisory {
  readonly url: string;
  readonly title: string;
  readonly severity: string;
  readonly vulnerable_versions: string;
}

/** Either the vulnerabilities that were found, or why the registry did not tell them. */
export type Advisories = { readonly found: readonly string[] } | { readonly unknown: string };

/**
 * Looks up the advisories that apply to these versions. `deno audit` asks the same, but ends with 1
 * both where a package is vulnerable and where the registry does not answer.
 */
export async function findAdvisories(
  registry: string,
  packages: Readonly<Record<string, readonly string[]>>,
): Promise<Advisories> {
  const url = new URL("-/npm/v1/security/advisories/bulk", registry.replace(/\/?$/, "/"));
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(packages),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const text = await response.text();
    if (!response.ok) return { unknown: `${url} answered ${response.status}` };
    const answer: Record<string, Advisory[]> = JSON.parse(text);
    const found = Object.entries(answer).flatMap(([name, advisories]) =>
      advisories.map((advisory) => {
        const { severity, title, vulnerable_versions: versions } = advisory;
        return `${name} ${versions} (${severity}): ${title}, ${advisory.url}`;
      })
    );
    return { found };
  } catch (error) {
    return { unknown: `${url}: ${String(error).slice(0, SHOWN_CHARACTERS)}` };
  }
}
