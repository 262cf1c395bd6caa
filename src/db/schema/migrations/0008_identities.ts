/**
 * Identities of the HTTP API, their tokens, the collaborators of repos, and the signatures that were
 * used already.
 *
 * Only public keys are stored, and of each token only the SHA-256 of its secret.
 */
export const sql = `
create table if not exists mpackd_identities (
  identity_id text collate "C" primary key,
  handle text collate "C" not null,
  public_key text not null,
  is_agent boolean not null default false,
  is_admin boolean not null default false,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
-- A new key may take over the handle of a revoked one.
create unique index if not exists mpackd_identities_handle
  on mpackd_identities (handle) where revoked_at is null;

create table if not exists mpackd_tokens (
  token_id text collate "C" primary key,
  identity_id text collate "C" not null references mpackd_identities,
  secret_hash text not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);

create table if not exists mpackd_collaborators (
  repo_id text collate "C" not null,
  identity_id text collate "C" not null references mpackd_identities,
  granted_at timestamptz not null default now(),
  primary key (repo_id, identity_id)
);
create index if not exists mpackd_collaborators_identity on mpackd_collaborators (identity_id);

create table if not exists mpackd_seen_signatures (
  signature_hash text collate "C" primary key,
  expires_at timestamptz not null
);
create index if not exists mpackd_seen_signatures_expiry on mpackd_seen_signatures (expires_at);

-- Secrets that all servers of one database share: the key of the upload URLs.
create table if not exists mpackd_secrets (
  name text primary key,
  value text not null,
  created_at timestamptz not null default now()
);
`;
