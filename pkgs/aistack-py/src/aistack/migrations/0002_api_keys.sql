-- API keys: the id is public, of the secret only its SHA-256 is kept (it has 256 random bits).

create table api_keys (
    id           text primary key,
    name         text not null,
    hash         bytea not null check (length(hash) = 32),
    scopes       text[] not null check (cardinality(scopes) > 0),
    collections  text[],
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
