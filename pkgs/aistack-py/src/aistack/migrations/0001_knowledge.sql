-- The knowledge base: collections, documents, their chunks, the outbox towards the index.

create table instance (
    key   text primary key,
    value bytea not null
);
-- Signs cursors; shared by all workers and hosts of one database. 244 random bits.
insert into instance (key, value)
values ('cursor-key', sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea));

create table collections (
    name        text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    description text not null default '',
    created_at  timestamptz not null default now()
);

-- One generation of a collection's index: a Qdrant collection of its own, so that a rebuild
-- never disturbs the one that answers.
create table generations (
    id         bigint generated always as identity primary key,
    collection text not null,
    state      text not null check (state in ('building', 'live', 'retired')),
    index_name text not null unique,
    model      text,
    dimension  integer check (dimension > 0),
    avgdl      double precision not null check (avgdl > 0),
    created_at timestamptz not null default now(),
    check ((model is null) = (dimension is null))
);
create unique index generations_live on generations (collection) where state = 'live';
create unique index generations_building on generations (collection) where state = 'building';

create table documents (
    id               uuid primary key default gen_random_uuid(),
    collection       text not null references collections (name),
    project          text not null,
    path             text not null,
    title            text not null,
    content_type     text not null,
    checksum         text not null,
    size_bytes       integer not null,
    metadata         jsonb not null default '{}',
    content          text not null,
    revision         integer not null default 1,
    -- The revision that search answers with; null: none yet.
    indexed_revision integer,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (collection, project, path)
);

-- Chunks of the newest revision, and of the indexed one until the newest is indexed too.
create table chunks (
    id          uuid primary key default gen_random_uuid(),
    document_id uuid not null references documents (id) on delete cascade,
    revision    integer not null,
    ordinal     integer not null,
    heading     text not null,
    text        text not null,
    unique (document_id, revision, ordinal)
);

-- What the index does not know yet: at most one row a document and generation. A row says only
-- that the document changed; the indexer reads what it is now, so doing it twice does no harm.
create table outbox (
    generation  bigint not null references generations (id) on delete cascade,
    document_id uuid not null,
    seq         bigint generated always as identity,
    attempts    integer not null default 0,
    not_before  timestamptz not null default now(),
    error       text,
    primary key (generation, document_id)
);
create index outbox_order on outbox (seq);

-- Embeddings by model and text: a rebuild does not pay for them again.
create table embeddings (
    model     text not null,
    text_hash bytea not null,
    vector    bytea not null,
    used_at   timestamptz not null default now(),
    primary key (model, text_hash)
);
