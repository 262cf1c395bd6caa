/**
 * What Amazon's credential services answer, on the loopback: the token service (STS), the metadata of
 * a container and of an instance, and the SSO portal.
 *
 * @module
 */

/** Credentials that a service gives. */
export interface Given {
  readonly accessKeyId: string;
  readonly sessionToken: string;
  readonly secretAccessKey: string;
  readonly expiration: Date;
}

/** Running services. */
export interface AwsServices extends AsyncDisposable {
  readonly url: string;
  /** Requests so far: method, path and body. */
  readonly requests: string[];
  /** How long the next credentials are valid, in milliseconds. */
  validMs: number;
  /** Whether every service answers 500. */
  isBroken: boolean;
  /** How many credentials were given. */
  readonly given: number;
}

/** Starts the services. The credentials they give are numbered: KEY-1, KEY-2, … */
export function startAwsServices(): AwsServices {
  const requests: string[] = [], state = { validMs: 3_600_000, isBroken: false, given: 0 };
  const give = (): Given => {
    state.given++;
    const expiration = new Date(Date.now() + state.validMs);
    return {
      accessKeyId: `KEY-${state.given}`,
      secretAccessKey: `secret-of-${state.given}`,
      sessionToken: `session-of-${state.given}`,
      expiration,
    };
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url), body = await request.text();
    requests.push(`${request.method} ${pathname} ${body}`);
    if (state.isBroken) return new Response("out of order", { status: 500 });
    if (body.includes("Action=AssumeRoleWithWebIdentity")) return tokenService(give());
    if (pathname === "/container") return Response.json(metadata(give()));
    if (pathname === "/federation/credentials") return Response.json(portal(give()));
    if (pathname === "/latest/api/token") return new Response("imds-token");
    const role = "/latest/meta-data/iam/security-credentials/";
    if (pathname === role) return new Response("role");
    if (pathname === `${role}role`) return Response.json({ Code: "Success", ...metadata(give()) });
    return new Response(null, { status: 404 });
  });
  return Object.assign(state, {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests,
    [Symbol.asyncDispose]: () => server.shutdown(),
  });
}

function metadata({ accessKeyId, secretAccessKey, sessionToken, expiration }: Given) {
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: sessionToken,
    Expiration: expiration.toISOString(),
  };
}

function portal({ expiration, ...credentials }: Given) {
  return { roleCredentials: { ...credentials, expiration: expiration.getTime() } };
}

function tokenService({ accessKeyId, secretAccessKey, sessionToken, expiration }: Given): Response {
  const name = "AssumeRoleWithWebIdentity";
  return new Response(
    `<${name}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${name}Result>` +
      `<Credentials><AccessKeyId>${accessKeyId}</AccessKeyId>` +
      `<SecretAccessKey>${secretAccessKey}</SecretAccessKey>` +
      `<SessionToken>${sessionToken}</SessionToken>` +
      `<Expiration>${expiration.toISOString()}</Expiration></Credentials>` +
      `</${name}Result></${name}Response>`,
    { headers: { "content-type": "text/xml" } },
  );
}
