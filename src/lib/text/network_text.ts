/** What the TLS of Deno's fetch and of node:tls say of a chain that ends at no CA they know. */
const UNTRUSTED = /UnknownIssuer|unable to verify|self.signed|unable to get (local )?issuer/i;

/**
 * Says why a connection failed: `fetch` has the reason in `cause` (Deno 2.9.6). The query of a URL is
 * left out, as it may be a credential.
 *
 * For a private CA, `NODE_EXTRA_CA_CERTS` is the variable that all parts of Deno 2.9.6 obey:
 * `DENO_CERT` does not reach node:https.
 */
export function networkText(error: Error): string {
  const { message, cause } = error;
  const text = (cause instanceof Error ? `${message}: ${cause.message}` : message)
    .replace(/\?[^\s)]*/g, "").slice(0, 300);
  if (!UNTRUSTED.test(text)) return text;
  return `${text}; if the server is yours, name the file of its CA in NODE_EXTRA_CA_CERTS`;
}
