/**
 * Credentials that are not in the settings: of a web identity (EKS, IRSA), a container, an instance, a
 * profile, SSO or a program, in the order of Amazon's SDK and by its own provider chain.
 *
 * The chain is loaded when it is first used, because it takes 0.1 s.
 *
 * @see {@link https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html |
 * Standardized credential providers}
 * @module
 */
import type { defaultProvider } from "@aws-sdk/credential-provider-node";
import { ConfigError } from "../../../errors.ts";
import { withDeadline } from "../../../lib/deadline.ts";
import { addSecrets, forgetSecrets } from "../../../lib/redact.ts";
import { S3Error } from "./s3_error.ts";
import type { S3Credentials } from "./sign.ts";

/** New ones are fetched so long before the old ones end, as in Amazon's SDKs. */
const RENEW_BEFORE_MS = 5 * 60 * 1000;
const DEFAULT_RETRY_MS = 5_000;

/** Where each link of the chain looks. */
const LINKS: Record<string, string> = {
  fromEnv: "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
  fromIni: "profile or SSO (AWS_PROFILE, ~/.aws/config, ~/.aws/credentials)",
  fromProcess: "credential_process of the profile",
  fromTokenFile: "web identity (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN)",
  remoteProvider:
    "container (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, …_FULL_URI) or instance metadata",
};

/** What the chain says when each of its links says that it was not set up. */
const NONE_SET_UP = "Could not load credentials from any providers";
/** … or that it gave none, although one of these is set. Such a failure may pass. */
const SET_UP = [
  "AWS_PROFILE",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

type Chain = (options: { readonly forceRefresh: boolean }) => Promise<S3Credentials>;

/** Options of the chain. */
export interface ChainOptions {
  /** The region of Amazon's token service. */
  readonly region: string;
  /** The longest wait for credentials, in milliseconds. */
  readonly timeoutMs: number;
  /**
   * The least time between two tries while the old ones are still valid, in milliseconds. Default
   * 5,000.
   */
  readonly retryMs?: number;
}

/** Credentials that are fetched, kept, and renewed before they end. */
export class CredentialChain {
  readonly #options: ChainOptions;
  /** What the links of the chain said, newest try only. */
  #tried: { link: string; said?: string }[] = [];
  #chain: Promise<Chain> | undefined;
  #current: S3Credentials | undefined;
  #fetching: Promise<S3Credentials> | undefined;
  #fetchedAt = -Infinity;

  /** Builds the chain; fetches nothing. */
  constructor(options: ChainOptions) {
    this.#options = options;
  }

  /**
   * Returns valid credentials. The same object until they are renewed.
   *
   * @throws {ConfigError} If no credentials are set up anywhere.
   * @throws {S3Error} If the ones that are set up cannot be fetched.
   */
  async get(): Promise<S3Credentials> {
    const current = this.#current, leftMs = leftMsOf(current);
    if (current !== undefined && leftMs > RENEW_BEFORE_MS) return current;
    if (current !== undefined && leftMs > 0 && this.#isEarly()) return current;
    try {
      return await this.#fetch();
    } catch (error) {
      // They are valid for some minutes more, in which the provider may come back.
      if (current !== undefined && leftMsOf(current) > 0) return current;
      throw error;
    }
  }

  /**
   * Fetches new credentials after the store refused these.
   *
   * @returns Whether there are others now.
   */
  async renew(refused: S3Credentials): Promise<boolean> {
    if (this.#current !== refused) return true;
    if (this.#isEarly()) return false;
    return isOther(refused, await this.#fetch());
  }

  #isEarly(): boolean {
    const { retryMs = DEFAULT_RETRY_MS } = this.#options;
    return performance.now() - this.#fetchedAt < retryMs;
  }

  /** Fetches once for all who ask. */
  #fetch(): Promise<S3Credentials> {
    return this.#fetching ??= this.#fetchNow().finally(() => this.#fetching = undefined);
  }

  async #fetchNow(): Promise<S3Credentials> {
    const { timeoutMs: deadlineMs } = this.#options;
    this.#fetchedAt = performance.now();
    this.#tried = [];
    const error = () => new Error(`no answer in ${deadlineMs} ms`);
    const chain = await (this.#chain ??= this.#load());
    try {
      const fetched = await withDeadline(chain({ forceRefresh: true }), { deadlineMs, error });
      return this.#keep(fetched);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #keep(fetched: S3Credentials): S3Credentials {
    const { accessKeyId, secretAccessKey, sessionToken = "" } = fetched, old = this.#current;
    // fetch would print the header with its error.
    if (
      ![accessKeyId, secretAccessKey, sessionToken].every((text) => /^[\x21-\x7e]*$/.test(text))
    ) {
      throw new Error("they have a character that no header can hold");
    }
    if (old !== undefined && !isOther(old, fetched)) {
      // Instance metadata gives the same ones, with a later end, while its service is away.
      return this.#current = { ...fetched };
    }
    addSecrets([fetched.secretAccessKey, fetched.sessionToken]);
    if (old !== undefined) forgetSecrets([old.secretAccessKey, old.sessionToken]);
    return this.#current = fetched;
  }

  async #load(): Promise<Chain> {
    const ignore = () => {};
    const logger = { debug: (...words: unknown[]) => this.#note(words.join(" ")) };
    const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
    const init: Parameters<typeof defaultProvider>[0] = {
      logger: { ...logger, info: ignore, warn: ignore, error: ignore },
      clientConfig: { region: this.#options.region },
      // A profile may change while a worker runs.
      ignoreCache: true,
    };
    return defaultProvider(init) as Chain;
  }

  /** The chain says only in its debug log why a link has no credentials. */
  #note(line: string): void {
    const [, link] = /::(\w+)$/.exec(line) ?? [], [, said] = /-> (.+)$/s.exec(line) ?? [];
    if (link !== undefined && link in LINKS) this.#tried.push({ link });
    const last = this.#tried.at(-1);
    if (said !== undefined && last !== undefined) last.said ??= said;
  }

  #explain(thrown: unknown): Error {
    if (thrown instanceof Deno.errors.NotCapable) {
      return new ConfigError(`Cannot get credentials for the store: ${thrown.message}`);
    }
    const message = thrown instanceof Error ? thrown.message.split("\n")[0] : String(thrown);
    const tried = this.#tried.map(({ link, said = message }) => `${LINKS[link]}: ${said}`);
    const text = `no credentials for the store (${message.slice(0, 300)}). Tried ` +
      tried.join("; ").slice(0, 1500);
    const isSetUp = this.#current !== undefined || message !== NONE_SET_UP ||
      SET_UP.some((name) => Deno.env.get(name));
    return isSetUp
      ? new S3Error(text, { isTransient: true })
      : new ConfigError(`Cannot open the store: ${text}`);
  }
}

function leftMsOf(credentials: S3Credentials | undefined): number {
  return (credentials?.expiration?.getTime() ?? Infinity) - Date.now();
}

function isOther(left: S3Credentials, right: S3Credentials): boolean {
  return left.accessKeyId !== right.accessKeyId || left.sessionToken !== right.sessionToken ||
    left.secretAccessKey !== right.secretAccessKey;
}
