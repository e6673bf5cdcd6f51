-- One-shot jobs: what ran, how it ended, and totals that outlive the pruned rows.

create table job_runs (
    id          bigint generated always as identity primary key,
    job         text not null check (job ~ '^[a-z][a-z0-9_-]{0,31}$'),
    started_at  timestamptz not null,
    -- Both null: under way, or killed; whoever reads tells by the lock that a run holds.
    finished_at timestamptz,
    outcome     text check (outcome in ('ok', 'failed')),
    detail      jsonb not null default '{}',
    check ((finished_at is null) = (outcome is null))
);
create index job_runs_of_job on job_runs (job, id);

create table job_totals (
    job            text primary key,
    started        bigint not null default 0,
    ok             bigint not null default 0,
    failed         bigint not null default 0,
    last_ok_at     timestamptz,
    last_failed_at timestamptz
);
