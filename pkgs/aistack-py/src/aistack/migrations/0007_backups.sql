-- Backups: how the runs, the verifications and the drills went. What there is to restore is asked of
-- the repositories themselves; this is for metrics and for people.

create table backup_runs (
    id          text primary key,
    type        text not null check (type in ('full', 'diff', 'incr')),
    started_at  timestamptz not null,
    finished_at timestamptz,
    -- Null: under way, or killed; the next run says which.
    state       text check (state in ('ok', 'partial', 'failed')),
    report      jsonb not null default '{}',
    -- What was backed up: counts and digests, by which a drill judges.
    record      jsonb,
    check ((finished_at is null) = (state is null))
);
create index backup_runs_by_time on backup_runs (started_at);

-- The last try of each part in each repository.
create table backup_parts (
    repository text not null,
    part       text not null check (part in ('postgresql', 'index', 'logical')),
    at         timestamptz not null,
    state      text not null check (state in ('ok', 'failed', 'skipped')),
    bytes      bigint not null,
    seconds    double precision not null,
    last_ok_at timestamptz,
    primary key (repository, part)
);

create table backup_repositories (
    name        text primary key,
    -- Null: not to be known.
    free_bytes  bigint,
    at          timestamptz not null,
    verified_at timestamptz,
    verify_ok   boolean
);

create table backup_drills (
    id          bigint generated always as identity primary key,
    repository  text not null,
    run         text not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null default now(),
    ok          boolean not null,
    -- Seconds until the restored server answered, and seconds of writes that were not safe yet.
    rto_s       double precision,
    rpo_s       double precision,
    report      jsonb not null
);
