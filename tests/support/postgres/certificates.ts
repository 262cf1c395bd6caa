/**
 * Certificates for tests, made by openssl.
 *
 * @module
 */
import { join } from "node:path";

/** Files of one certificate. */
interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A CA, and what it has signed. */
export interface Certificates {
  readonly ca: string;
  /** A CA that has signed none of them. */
  readonly otherCa: string;
  /** A server named localhost. */
  readonly localhost: Certificate;
  /** A server with the address 127.0.0.1. */
  readonly address: Certificate;
  readonly client: Certificate;
}

const NOBODY = 65_534;

/** Makes them in a folder, readable for a server that does not run as root. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.chmod(folder, 0o755);
  const inFolder = (name: string) => join(folder, name);
  const makeCa = (name: string) =>
    openssl(
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${name}`],
      ["-keyout", inFolder(`${name}.key`), "-out", inFolder(`${name}.crt`)],
      ["-addext", "basicConstraints=critical,CA:TRUE"],
    );
  await makeCa("ca");
  await makeCa("other-ca");
  const sign = async (name: string, names: string): Promise<Certificate> => {
    const cert = inFolder(`${name}.crt`), key = inFolder(`${name}.key`);
    const request = inFolder(`${name}.csr`), extensions = inFolder(`${name}.ext`);
    await Deno.writeTextFile(extensions, `subjectAltName=${names}\n`);
    await openssl(
      ["req", "-newkey", "rsa:2048", "-nodes", "-subj", `/CN=${name}`],
      ["-keyout", key, "-out", request],
    );
    await openssl(
      ["x509", "-req", "-in", request, "-days", "2", "-extfile", extensions, "-out", cert],
      ["-CA", inFolder("ca.crt"), "-CAkey", inFolder("ca.key"), "-CAcreateserial"],
    );
    // PostgreSQL refuses a key that others can read, and here runs as "nobody" if we are root.
    if (Deno.uid() === 0) await Deno.chown(key, NOBODY, NOBODY);
    return { cert, key };
  };
  return {
    ca: inFolder("ca.crt"),
    otherCa: inFolder("other-ca.crt"),
    localhost: await sign("server", "DNS:localhost"),
    address: await sign("address", "IP:127.0.0.1"),
    client: await sign("client", "email:client@example.org"),
  };
}

async function openssl(...args: string[][]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: args.flat() }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
