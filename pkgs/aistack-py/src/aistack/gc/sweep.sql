-- name: count_trash
select count(*) as rows from solutions where deleted_at < %(before)s

-- name: trash
select id from solutions where deleted_at < %(before)s order by deleted_at, id limit %(limit)s

-- name: count_interactions
select count(*) as rows from interactions where created_at < %(before)s

-- name: interactions
delete from interactions where id in (
    select id from interactions where created_at < %(before)s
    order by created_at, id limit %(limit)s)

-- name: count_outbox
-- Of an index that is given up: nobody will work on them.
select count(*) as rows from outbox o join generations g on g.id = o.generation
where g.state = 'retired' and g.created_at < %(before)s

-- name: outbox
delete from outbox where (generation, document_id) in (
    select o.generation, o.document_id from outbox o join generations g on g.id = o.generation
    where g.state = 'retired' and g.created_at < %(before)s limit %(limit)s)

-- name: count_key_events
select count(*) as rows from key_events where at < %(before)s

-- name: key_events
delete from key_events where id in (
    select id from key_events where at < %(before)s order by id limit %(limit)s)

-- name: count_history
-- The newest run that compared, and the newest that came to its end, are still asked for.
select count(*) as rows from gc_runs r
where started_at < %(before)s and finished_at is not null and id not in (
    select coalesce(max(id), 0) from gc_runs where compared_until is not null
    union select coalesce(max(id), 0) from gc_runs where result in ('ok', 'partial'))
  and not exists (select from solutions s where s.deleted_by = r.id and s.deleted_at is not null)

-- name: history
delete from gc_runs where id in (
    select id from gc_runs r
    where started_at < %(before)s and finished_at is not null and id not in (
        select coalesce(max(id), 0) from gc_runs where compared_until is not null
        union select coalesce(max(id), 0) from gc_runs where result in ('ok', 'partial'))
      and not exists (select from solutions s where s.deleted_by = r.id and s.deleted_at is not null)
    order by id limit %(limit)s)

-- name: embeddings_page
-- By its key alone: with a condition PostgreSQL may sort the whole table for each page.
select model, text_hash, used_at < %(before)s as old from embeddings
where (model, text_hash) > (%(model)s, %(hash)s::bytea)
order by model, text_hash limit %(limit)s

-- name: models
select distinct model from generations where model is not null

-- name: passage_hashes
-- How the hashes of a page's passages begin, by each model; what is hashed is what the indexer
-- gives to the embedding endpoint (knowledge/indexer.py), as text_hash of knowledge/embed.py does.
-- offset 0 keeps the order of the lookups.
with page as materialized (
    select id, document_id, heading, text from chunks
    where id > %(after)s order by id limit %(limit)s)
select (select id from page order by id desc limit 1) as last,
       string_agg(substr(sha256(convert_to(m.model, 'UTF8') || '\x00'::bytea || convert_to(
           d.title || E'\n' || p.heading || E'\n' || p.text, 'UTF8')), 1, 8), ''::bytea) as hashes
from page p cross join unnest(%(models)s::text[]) m (model),
lateral (select title from documents where id = p.document_id offset 0) d

-- name: embeddings
delete from embeddings where used_at < %(before)s and (model, text_hash) in (
    select * from unnest(%(models)s::text[], %(hashes)s::bytea[]))
