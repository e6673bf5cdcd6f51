-- Garbage collection: what each run took away and why, and the way back.

create table gc_runs (
    id           bigint generated always as identity primary key,
    kind         text not null check (kind in ('run', 'undo')),
    -- The run that this one undoes.
    undoes       bigint references gc_runs (id) on delete cascade,
    started_at   timestamptz not null default now(),
    finished_at  timestamptz,
    -- Null: under way, or killed; the next run, which has the lock, says which.
    result       text check (result in ('ok', 'partial', 'refused', 'failed', 'killed')),
    forced       boolean not null default false,
    live_before  bigint,
    live_after   bigint,
    report       jsonb not null default '{}',
    -- Solutions up to this moment were compared for duplicates, with this similarity.
    compared_until      timestamptz,
    compared_similarity double precision,
    check ((finished_at is null) = (result is null)),
    check ((kind = 'undo') = (undoes is not null))
);

-- One row for each thing that a run took away; it outlives the thing.
create table gc_deletions (
    run         bigint not null references gc_runs (id) on delete cascade,
    -- A solution, or a point of the index.
    subject     uuid not null,
    reason      text not null,
    evidence    jsonb not null,
    -- Of a duplicate: the solution that stays.
    keeper      uuid,
    at          timestamptz not null default now(),
    restored_at timestamptz,
    primary key (run, subject)
);

-- Counters that outlive the rows above.
create table gc_totals (
    metric text not null,
    label  text not null,
    value  double precision not null default 0,
    primary key (metric, label)
);

alter table solutions
    -- In the trash as a duplicate: the solution that counts this one's counters as its own.
    add column merged_into uuid references solutions (id) on delete set null,
    -- Brought back from the trash: its age begins anew.
    add column restored_at timestamptz;

create index solutions_merged on solutions (merged_into) where merged_into is not null;
create index solutions_put_away on solutions (deleted_at, id) where deleted_at is not null;
drop index solutions_trash;
create index solutions_trash on solutions (deleted_by, id) where deleted_at is not null;
-- The least valuable first; never served counts as last used when it was learned.
drop index solutions_by_value;
create index solutions_by_value on solutions (value, coalesce(last_used_at, created_at), id)
    where deleted_at is null;
