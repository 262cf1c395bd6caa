/**
 * URLs that let their holder send one request: made by s3-lite-client, and by aws4fetch where it
 * cannot. What mpackd sends itself is signed in `s3_sign.ts`.
 *
 * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html |
 * Signature Version 4 in the query}
 * @module
 */
import { S3Client as S3LiteClient } from "@bradenmacdonald/s3-lite-client";
import { AwsV4Signer } from "aws4fetch";
import { ConfigError } from "../../../errors.ts";
import type { S3Identity } from "./sign.ts";

/** How long a URL works unless something else is asked for. */
export const URL_EXPIRES_SECONDS = 300;

/** What a URL is to allow. */
export interface Presignable {
  /** The HTTP method. */
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The object, or "" for the bucket itself. */
  readonly objectKey: string;
  /** The query. */
  readonly query?: Record<string, string>;
  /** Headers that the signature binds: the request must carry them exactly. */
  readonly headers?: Record<string, string>;
  /** Seconds the URL works. Default {@link URL_EXPIRES_SECONDS}. */
  readonly expiresSeconds?: number;
  /** When it begins to. Default now. */
  readonly date?: Date;
}

/** s3-lite-client, for requests to the bucket itself too, and for every name an engine may allow. */
class LiteClient extends S3LiteClient {
  protected override getBucketName(): string {
    return this.defaultBucket ?? "";
  }

  protected override checkNames(): string {
    return this.getBucketName();
  }
}

/** Makes signed URLs. Sends nothing. */
export class S3Presigner {
  readonly #identity: S3Identity;
  readonly #client: LiteClient;

  /**
   * Builds it; `storeUrl` is how errors name the store.
   *
   * @throws {ConfigError} If s3-lite-client cannot sign for such an endpoint or such credentials.
   */
  constructor(storeUrl: string, identity: S3Identity) {
    const { endpoint, bucket, region, pathStyle, sessionToken } = identity;
    this.#identity = identity;
    try {
      this.#client = new LiteClient({
        endPoint: endpoint.replace(/\/+$/, ""),
        bucket,
        region,
        pathStyle,
        sessionToken,
        accessKey: identity.accessKeyId,
        secretKey: identity.secretAccessKey,
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ConfigError(`Cannot open the store ${storeUrl}: ${reason}`, { cause: error });
    }
  }

  /** The URL that lets its holder send one such request. The payload is not bound. */
  async presign(request: Presignable): Promise<string> {
    const { method, objectKey, query, headers = {}, date } = request;
    const { expiresSeconds = URL_EXPIRES_SECONDS } = request;
    // s3-lite-client never binds a length, and takes what follows a ? in a key for the query.
    if ("content-length" in headers || objectKey.includes("?")) return this.#signByAws4(request);
    // Any method can be signed; the type has forgotten POST.
    return await this.#client.getPresignedUrl(method as "GET", objectKey, {
      parameters: query,
      extraHeaders: headers,
      expirySeconds: expiresSeconds,
      requestDate: date,
    });
  }

  async #signByAws4(request: Presignable): Promise<string> {
    const { method, objectKey, query, headers, date = new Date() } = request;
    const { expiresSeconds = URL_EXPIRES_SECONDS } = request;
    const { protocol, host, pathStyle, pathPrefix } = this.#client;
    const { bucket, accessKeyId, secretAccessKey, sessionToken, region } = this.#identity;
    const path = objectKey.split("/").map(encodeURIComponent).join("/");
    const base = pathStyle ? `${host}${pathPrefix}/${bucket}` : `${bucket}.${host}`;
    const search = new URLSearchParams({ ...query, "X-Amz-Expires": String(expiresSeconds) });
    const signer = new AwsV4Signer({
      accessKeyId,
      secretAccessKey,
      sessionToken,
      region,
      service: "s3",
      method,
      headers,
      url: `${protocol}//${base}/${path}?${search.toString().replaceAll("+", "%20")}`,
      datetime: date.toISOString().replace(/[:-]|\.\d{3}/g, ""),
      signQuery: true,
      // Content-Length is left out of signatures otherwise.
      allHeaders: true,
    });
    return (await signer.sign()).url.href;
  }
}
