/**
 * Signs requests to one bucket: s3-lite-client makes each a URL that works for minutes.
 *
 * s3-lite-client would also send what it signs, but its sending knows no abort, no deadline, no
 * Retry-After and one status for success (a ranged GET may be answered 206 or 200), and it hashes
 * every byte it uploads. So it signs, and `S3Client` sends.
 *
 * @see {@link https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html |
 * Signature Version 4 in the query}
 * @module
 */
import { S3Client as S3LiteClient } from "@bradenmacdonald/s3-lite-client";
import { AwsV4Signer } from "aws4fetch";
import { ConfigError } from "../errors.ts";

/**
 * How long a request that is sent at once stays valid. Every try is signed anew, so what has to fit
 * is the difference between two clocks and a slow start of the connection. A URL that is seen on the
 * way (in a store's access log, in a trace) repeats one request on one object until then.
 */
export const REQUEST_EXPIRES_SECONDS = 300;

/** Where a bucket is and who asks. */
export interface S3Identity {
  /** The bucket's name. */
  readonly bucket: string;
  /** The server, such as `https://s3.eu-west-1.amazonaws.com`; path-style, it may have a path. */
  readonly endpoint: string;
  /** The region that requests are signed for. */
  readonly region: string;
  /** Whether the bucket stands in the path (`true`) or before the host. Default true. */
  readonly pathStyle?: boolean;
  /** Who asks. */
  readonly accessKeyId: string;
  /** The key that signs; never sent, never printed. */
  readonly secretAccessKey: string;
  /** Belongs to temporary credentials. */
  readonly sessionToken?: string;
}

/** What is signed. */
export interface Signable {
  /** The HTTP method. */
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The object, or "" for the bucket itself. */
  readonly objectKey: string;
  /** The query. */
  readonly query?: Record<string, string>;
  /** Headers that the signature binds: the request must carry them exactly. */
  readonly headers?: Record<string, string>;
  /** Seconds the URL works. Default {@link REQUEST_EXPIRES_SECONDS}. */
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
export class S3Signer {
  readonly #identity: S3Identity;
  readonly #client: LiteClient;

  /**
   * Builds the signer; `storeUrl` is how errors name the store.
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
  async sign(request: Signable): Promise<string> {
    const { method, objectKey, query, headers = {}, date } = request;
    const { expiresSeconds = REQUEST_EXPIRES_SECONDS } = request;
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

  async #signByAws4(request: Signable): Promise<string> {
    const { method, objectKey, query, headers, date = new Date() } = request;
    const { expiresSeconds = REQUEST_EXPIRES_SECONDS } = request;
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
