import assert from "node:assert/strict";
import { type ParsedUrl, parseUrl } from "../../src/db/client/parse_url.ts";
import { ConfigError } from "../../src/errors.ts";

/** The parts of a URL that a case is about. */
type Expected = Partial<Omit<ParsedUrl, "ssl">> & { readonly ssl?: Partial<ParsedUrl["ssl"]> };

function assertParts(url: string, expected: Expected): void {
  const { ssl, ...parsed } = parseUrl(url);
  const { ssl: expectedSsl = {}, ...others } = expected;
  for (const [name, value] of Object.entries(others)) {
    assert.deepEqual(parsed[name as keyof typeof parsed], value, name);
  }
  for (const [name, value] of Object.entries(expectedSsl)) {
    assert.deepEqual(ssl[name as keyof typeof ssl], value, name);
  }
}

// As the consoles print them, with other names and passwords.
const PROVIDERS: readonly [string, string, Expected][] = [
  [
    "Neon",
    "postgresql://neondb_owner:npg_x1@ep-cool-sun-a2-pooler.eu-central-1.aws.neon.tech/neondb" +
    "?sslmode=require&channel_binding=require",
    { database: "neondb", parameters: {}, ssl: { mode: "verify-full" }, isPreparing: true },
  ],
  [
    "Supabase, the transaction pooler, for Prisma",
    "postgresql://postgres.abcdef:pw@aws-0-eu-west-1.pooler.supabase.com:6543/postgres" +
    "?pgbouncer=true",
    { user: "postgres.abcdef", isPreparing: false, parameters: {}, ssl: { mode: "prefer" } },
  ],
  [
    "Supabase, by Vercel",
    "postgres://postgres.abcdef:pw@aws-0-eu-west-1.pooler.supabase.com:6543/postgres" +
    "?sslmode=require&supa=base-pooler.x",
    { parameters: {}, ssl: { mode: "require" } },
  ],
  [
    "Amazon RDS",
    "postgresql://app:pw@db1.abc.eu-west-1.rds.amazonaws.com:5432/app" +
    "?sslmode=verify-full&sslrootcert=/certs/global-bundle.pem",
    { parameters: {}, ssl: { mode: "verify-full", rootCert: "/certs/global-bundle.pem" } },
  ],
  [
    "Heroku",
    "postgres://user:pw@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1abc",
    { database: "d1abc", ssl: { mode: "prefer" } },
  ],
  [
    "Azure",
    "postgres://admin%40server:p%40ss@server.postgres.database.azure.com/postgres?sslmode=require",
    { user: "admin@server", password: "p@ss", ssl: { mode: "require" } },
  ],
  [
    "Cloud SQL, by its proxy's socket",
    "postgresql://app:pw@/app?host=/cloudsql/project:region:instance",
    {
      places: [{
        host: "/cloudsql/project:region:instance",
        port: 5432,
        path: "/cloudsql/project:region:instance/.s.PGSQL.5432",
      }],
      parameters: {},
    },
  ],
];

Deno.test("parseUrl() understands the URLs of providers", async (t) => {
  for (const [title, url, expected] of PROVIDERS) {
    await t.step(title, () => assertParts(url, expected));
  }
});

const BASE = "postgres://u:p@h/d";
const SOCKET = { host: "/run/pg", port: 5433, path: "/run/pg/.s.PGSQL.5433" };

Deno.test("parseUrl() understands libpq's words", async (t) => {
  const cases: readonly [string, Expected][] = [
    [`${BASE}?password=secret&user=ann&dbname=x`, {
      password: "secret",
      user: "ann",
      database: "x",
      parameters: {},
    }],
    ["postgres://u@%2Frun%2Fpg:5433/d", { places: [SOCKET] }],
    ["postgres://u@/d?host=/run/pg&port=5433", { places: [SOCKET] }],
    ["postgres:///d?host=/run/pg&port=5433&user=u", { places: [SOCKET], user: "u" }],
    ["postgres://u@h1:1,h2,[::1]:3/d", {
      places: [{ host: "h1", port: 1 }, { host: "h2", port: 5432 }, { host: "::1", port: 3 }],
    }],
    ["postgres://u@/d?host=h1,h2&port=1,2", {
      places: [{ host: "h1", port: 1 }, { host: "h2", port: 2 }],
    }],
    [`${BASE}?connect_timeout=3&keepalives=0`, {
      connectTimeoutMs: 3_000,
      keepAliveSeconds: 0,
      parameters: {},
    }],
    [`${BASE}?keepalives_idle=30&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=9`, {
      keepAliveSeconds: 30,
      parameters: {},
    }],
    [`${BASE}?gssencmode=disable&sslsni=1&client_encoding=UTF8&uselibpqcompat=true`, {
      parameters: {},
    }],
    [`${BASE}?target_session_attrs=any`, { sessionTarget: "any", parameters: {} }],
    [BASE, { sessionTarget: "read-write", isPreparing: true }],
    [`${BASE}?application_name=me`, { applicationName: "me", parameters: {} }],
    [`${BASE}?schema=tenant`, { parameters: { search_path: "tenant" } }],
    [`${BASE}?search_path=a,b&options=-c%20work_mem=8MB`, {
      parameters: { search_path: "a,b", options: "-c work_mem=8MB" },
    }],
    [`${BASE}?sslmode=require&sslrootcert=/ca`, { ssl: { mode: "verify-ca", rootCert: "/ca" } }],
    [`${BASE}?sslrootcert=system`, { ssl: { mode: "verify-full" } }],
    [`${BASE}?sslmode=allow`, { ssl: { mode: "prefer" } }],
    [`${BASE}?sslmode=no-verify`, { ssl: { mode: "require" } }],
    [`${BASE}?ssl=true`, { ssl: { mode: "require" }, parameters: {} }],
    [`${BASE}?sslnegotiation=direct&sslmode=require&ssl_min_protocol_version=TLSv1.3`, {
      ssl: { isDirect: true, minVersion: "TLSv1.3" },
      parameters: {},
    }],
  ];
  for (const [url, expected] of cases) await t.step(url, () => assertParts(url, expected));
});

Deno.test("parseUrl() refuses by name what it cannot obey, and shows no secret", async (t) => {
  const words = [
    "passfile=/x",
    "service=x",
    "hostaddr=10.0.0.1",
    "gssencmode=require",
    "require_auth=scram-sha-256",
    "sslpassword=hunter2",
    "sslcrl=/x",
    "sslcompression=1",
    "sslmode=on",
    "sslmode=require&sslrootcert=system",
    "sslmode=disable&channel_binding=require",
    "channel_binding=yes",
    "target_session_attrs=prefer-standby",
    "load_balance_hosts=random",
    "client_encoding=LATIN1",
    "connect_timeout=soon",
    "keepalives=2",
    "port=70000",
    "replication=database",
    "connection_limit=5",
    "currentSchema=x",
    "sslaccept=strict",
    "ssl_min_protocol_version=TLSv1.0",
    "prepare=maybe",
  ];
  for (const word of words) {
    await t.step(word, () => {
      assert.throws(() => parseUrl(`postgres://u:hunter2@h/d?${word}`), (error) => {
        assert(error instanceof ConfigError);
        const names = word.split("&").map((text) => text.split("=")[0]);
        assert(names.some((name) => error.message.includes(name)), error.message);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      });
    });
  }
  const urls = [
    "postgres://u:hunter2@ss@h/d",
    "postgres://u:hun/ter2@h/d",
    "postgres://u:hun#ter2@h/d",
    "postgres://u:hun?ter2@h/d",
    "postgres://u:hunter2%zz@h/d",
    "postgres://u:hunter2@h/d%00options",
  ];
  for (const url of urls) {
    await t.step(url, () => {
      assert.throws(() => parseUrl(url), (error) => {
        assert(error instanceof ConfigError);
        assert.doesNotMatch(error.message, /hunter2|ter2|u:hun/);
        return true;
      });
    });
  }
});
