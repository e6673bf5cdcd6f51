-- A key's own rate limits (null: the settings'), and who did what to which key.

alter table api_keys
    add column per_minute integer check (per_minute > 0),
    add column per_hour   integer check (per_hour > 0);

create table key_events (
    id     bigint generated always as identity primary key,
    at     timestamptz not null default now(),
    key_id text not null,
    event  text not null check (event in ('created', 'declared', 'rotated', 'revoked')),
    -- The key that did it; 'local' is the host's administrator.
    actor  text not null
);

create index key_events_of_key on key_events (key_id, id);
