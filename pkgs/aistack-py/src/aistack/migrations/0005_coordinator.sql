-- What was asked and answered, and the solutions learned from it.

create table solutions (
    id              uuid primary key default gen_random_uuid(),
    question        text not null,
    answer          text not null,
    tags            text[] not null default '{}',
    -- A few of the questions that came back to it, newest first.
    examples        text[] not null default '{}',
    -- The documented score in [0,1], and its five parts.
    value           double precision not null check (value between 0 and 1),
    parts           jsonb not null,
    successes       integer not null default 0,
    partials        integer not null default 0,
    failures        integer not null default 0,
    feedback_sum    double precision not null default 0,
    feedback_count  integer not null default 0,
    uses            integer not null default 0,
    last_used_at    timestamptz,
    pinned          boolean not null default false,
    -- Vectors of question and answer (float32, little endian) of this model; null: none.
    vector_model    text,
    question_vector bytea,
    answer_vector   bytea,
    -- What search finds it by: a document in the collection solved_issues; null: in the trash.
    document_id     uuid unique references documents (id) on delete set null,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    -- In the trash since; garbage collection's run and reason.
    deleted_at      timestamptz,
    deleted_by      bigint,
    delete_reason   text
);
create index solutions_by_value on solutions (value, last_used_at, id) where deleted_at is null;
-- Finds the very same question, also while the index is behind or away.
create index solutions_by_question on solutions (hashtextextended(question, 0));
create index solutions_by_creation on solutions (created_at, id);
create index solutions_trash on solutions (deleted_by) where deleted_at is not null;

create table interactions (
    id              uuid primary key default gen_random_uuid(),
    created_at      timestamptz not null default now(),
    -- The key that recorded it; an idempotency key is good within one of them.
    created_by      text not null,
    idempotency_key text,
    -- Of the request that used the key: another one with the same key is a conflict.
    request_hash    bytea,
    session         text,
    question        text not null,
    response        text not null,
    agent           text not null default '',
    model           text not null default '',
    tags            text[] not null default '{}',
    -- Passages and solutions that the answer was given.
    context_ids     uuid[] not null default '{}',
    tokens          integer check (tokens >= 0),
    latency_ms      integer check (latency_ms >= 0),
    outcome         text check (outcome in ('success', 'partial', 'failure')),
    feedback        double precision check (feedback between -1 and 1),
    outcome_at      timestamptz,
    value           double precision check (value between 0 and 1),
    parts           jsonb,
    solution_id     uuid references solutions (id) on delete set null,
    unique (created_by, idempotency_key)
);
create index interactions_by_creation on interactions (created_at, id);
create index interactions_of_solution on interactions (solution_id) where solution_id is not null;
create index interactions_of_session on interactions (created_by, session, created_at, id)
    where session is not null;
