import { isIP, type Socket } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { ConfigError } from "../../errors.ts";
import type { ParsedUrl, SslMode } from "./parse_url.ts";

/** The message that asks a server for TLS: length 8, then the request's code. */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const YES = "S".charCodeAt(0);
const NO = "N".charCodeAt(0);

/** TLS as the URL asks for it, with its files read. */
export interface TlsSettings {
  readonly mode: SslMode;
  readonly isDirect: boolean;
  readonly options: ConnectionOptions;
}

/** The server has refused TLS, or the certificate was refused. Trying again cannot help. */
export class TlsError extends Error {
  /** As postgres.js and node:net name errors. */
  readonly code = "TLS_FAILED";
}

/**
 * Reads the files that the URL names.
 *
 * @throws {ConfigError} That names the word whose file cannot be read.
 */
export function readTlsSettings({ mode, isDirect, ...ssl }: ParsedUrl["ssl"]): TlsSettings {
  if ((ssl.cert === undefined) !== (ssl.key === undefined)) {
    throw new ConfigError("Cannot use DATABASE_URL: it needs both sslcert and sslkey, or neither");
  }
  const options: ConnectionOptions = {
    minVersion: ssl.minVersion as ConnectionOptions["minVersion"],
    maxVersion: ssl.maxVersion as ConnectionOptions["maxVersion"],
    cert: readFile("sslcert", ssl.cert),
    key: readFile("sslkey", ssl.key),
    rejectUnauthorized: mode === "verify-ca" || mode === "verify-full",
    // The names are checked by node:tls unless it is told not to.
    ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
  };
  // Undefined: the certificates that Deno trusts.
  if (ssl.rootCert !== "system") options.ca = readFile("sslrootcert", ssl.rootCert);
  return { mode, isDirect, options };
}

function readFile(word: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new ConfigError(
      `Cannot read the file that ${word} in DATABASE_URL names: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/**
 * Begins TLS on a connected socket, as the settings ask for.
 *
 * @returns The socket to go on with: the same one if the server has no TLS and need not.
 */
export async function secure(
  socket: Socket,
  host: string,
  { mode, isDirect, options }: TlsSettings,
): Promise<Socket> {
  if (!isDirect && !await offersTls(socket)) {
    if (mode === "prefer") return socket;
    throw new TlsError(`the server ${host} has no TLS, and sslmode is ${mode}`);
  }
  return await new Promise<TLSSocket>((resolve, reject) => {
    const secured = connect({
      ...options,
      socket,
      // An address is checked, but never sent as the server's name.
      ...(isIP(host) ? { host } : { servername: host }),
      ALPNProtocols: isDirect ? ["postgresql"] : undefined,
    });
    const onError = (error: Error) => reject(describe(error, host, mode));
    const onClose = () => onError(new Error("the server hung up"));
    secured.once("error", onError).once("close", onClose);
    secured.once("secureConnect", () => {
      secured.off("error", onError).off("close", onClose);
      resolve(secured);
    });
  });
}

async function offersTls(socket: Socket): Promise<boolean> {
  socket.write(SSL_REQUEST);
  const answer = await new Promise<Uint8Array>((resolve, reject) => {
    const onEnd = () => reject(reset("the server hung up"));
    socket.once("error", reject).once("close", onEnd).once("end", onEnd);
    socket.once("data", (bytes) => {
      socket.off("error", reject).off("close", onEnd).off("end", onEnd);
      resolve(bytes);
    });
  });
  // More than one byte was put there by a third party, to be read as if it had come by TLS.
  // https://www.postgresql.org/support/security/CVE-2021-23222/
  if (answer.length !== 1 || (answer[0] !== YES && answer[0] !== NO)) {
    throw reset("its answer to the request for TLS is not one of PostgreSQL");
  }
  return answer[0] === YES;
}

function reset(message: string): Error {
  return Object.assign(new Error(message), { code: "ECONNRESET" });
}

/** Says which certificate was refused, and which word of the URL decides that. */
function describe(error: Error, host: string, mode: SslMode): Error {
  const { code = "", message } = error as { code?: string; message: string };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new TlsError(
      `the server's certificate is not for ${host}, and sslmode is ${mode}: ${message}`,
      { cause: error },
    );
  }
  if (/CERT|ISSUER|SIGNATURE|CHAIN/.test(code)) {
    return new TlsError(
      `the server's certificate is not trusted (${code}), and sslmode is ${mode}; ` +
        "name the file of its CA with sslrootcert, or in NODE_EXTRA_CA_CERTS",
      { cause: error },
    );
  }
  if (/alert/i.test(message)) {
    return new TlsError(
      `the server refused TLS: ${message}; check sslcert, sslkey and ssl_min_protocol_version`,
      { cause: error },
    );
  }
  return code === "" ? reset(`TLS failed: ${message}`) : error;
}
