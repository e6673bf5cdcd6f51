-- Issues: what went wrong, grouped by fingerprint, with the newest occurrences of each.

create table issues (
    id                  bigint generated always as identity primary key,
    -- A newer version of the algorithm makes other fingerprints; those of the old stay what they are.
    fingerprint_version smallint not null,
    fingerprint         bytea not null check (length(fingerprint) = 16),
    kind                text not null,
    title               text not null,
    component           text not null,
    severity            text not null check (severity in ('critical', 'high', 'medium', 'low', 'info')),
    category            text not null check (category in (
        'security', 'performance', 'reliability', 'data_integrity', 'configuration', 'deployment',
        'integration', 'validation', 'monitoring', 'other')),
    status              text not null default 'open' check (status in (
        'open', 'investigating', 'in_progress', 'resolved', 'wont_fix', 'duplicate', 'muted')),
    first_seen          timestamptz not null,
    last_seen           timestamptz not null,
    count               bigint not null check (count > 0),
    -- NixOS generations of the host that told of it.
    first_generation    integer,
    last_generation     integer,
    last_host           text not null,
    regressions         integer not null default 0,
    regressed_at        timestamptz,
    resolved_at         timestamptz,
    -- Mended in this generation: an occurrence in an older one is none to reopen for.
    resolved_generation integer,
    resolution          text,
    -- Muted until this moment, or until so many occurrences; both null: for good.
    muted_until         timestamptz,
    muted_until_count   bigint,
    duplicate_of        bigint references issues (id) on delete set null,
    assignee            text,
    tags                text[] not null default '{}',
    pinned              boolean not null default false,
    unique (fingerprint_version, fingerprint),
    check ((status = 'resolved') = (resolved_at is not null))
);

create index issues_by_time on issues (last_seen desc, id desc);
create index issues_active on issues (severity, category)
    where status in ('open', 'investigating', 'in_progress');

-- A ring: occurrence n of an issue lies in slot n modulo the ring's size.
create table issue_occurrences (
    issue      bigint not null references issues (id) on delete cascade,
    slot       integer not null,
    number     bigint not null,
    at         timestamptz not null,
    message    text not null,
    stack      text not null,
    context    jsonb not null,
    request_id text,
    host       text not null,
    generation integer,
    release    text,
    source     text not null,
    primary key (issue, slot)
);
-- For what came before and after a generation; without it each look reads all that is kept.
create index issue_occurrences_of_host on issue_occurrences (host, at);

-- Occurrences in each five minutes, counted from 1970 on: whole numbers are cheap to compute with.
create table issue_rates (
    issue  bigint not null references issues (id) on delete cascade,
    bucket integer not null,
    count  integer not null,
    primary key (issue, bucket)
);
create index issue_rates_by_time on issue_rates (bucket);

create table issue_links (
    issue bigint not null references issues (id) on delete cascade,
    target text not null,
    at    timestamptz not null default now(),
    primary key (issue, target)
);

-- What was done to an issue, and by whom.
create table issue_events (
    id     bigint generated always as identity primary key,
    issue  bigint not null references issues (id) on delete cascade,
    at     timestamptz not null default now(),
    event  text not null,
    detail text,
    actor  text not null
);
create index issue_events_of_issue on issue_events (issue, id);

-- Counters that outlive the rows above.
create table issue_totals (
    metric   text not null,
    severity text not null,
    category text not null,
    value    double precision not null default 0,
    primary key (metric, severity, category)
);

-- Generations that hosts told of; when each was made.
create table issue_generations (
    host       text not null,
    generation integer not null,
    at         timestamptz not null,
    primary key (host, generation)
);

-- How far the spool of each host is read: what was counted once is not counted again.
create table issue_spools (
    spool    text primary key,
    segment  text not null,
    "offset" bigint not null,
    at       timestamptz not null default now()
);

-- What people are to be told, and what became of it.
create table issue_notices (
    id       bigint generated always as identity primary key,
    issue    bigint not null references issues (id) on delete cascade,
    reason   text not null check (reason in ('new', 'regressed', 'spiking')),
    at       timestamptz not null default now(),
    tries    integer not null default 0,
    -- Of the first try: so many an hour are begun. What is begun is tried to its end.
    begun_at timestamptz,
    next_try timestamptz not null default now(),
    -- Channels that have it: they are not told again where another one fails.
    told     text[] not null default '{}',
    result   text check (result in ('sent', 'held_back', 'failed')),
    ended_at timestamptz,
    check ((result is null) = (ended_at is null))
);
create index issue_notices_due on issue_notices (next_try, id) where result is null;
create index issue_notices_begun on issue_notices (begun_at);
create index issue_notices_ended on issue_notices (ended_at) where result is not null;
