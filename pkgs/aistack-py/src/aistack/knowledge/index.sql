-- name: live_generation
select id, collection, state, index_name, model, dimension, avgdl from generations
where collection = %(collection)s and state = 'live'

-- name: generations
select id, collection, state, index_name, model, dimension, avgdl from generations order by id

-- name: generations_at_work
-- Those with a document that is due, those that are built or taken away, and those whose index is
-- not known to be made. Who comes after the given one is first, so that each has its turn, whatever
-- ended the last round. The order within is what keeps to the index outbox_due: else one long
-- backlog, due or not, misleads PostgreSQL to read all of it for each of the others.
select id, collection, state, index_name, model, dimension, avgdl from generations g
left join lateral (select o.document_id from outbox o
                   where o.generation = g.id and o.not_before <= now()
                   order by o.not_before, o.seq limit 1) due on true
where due.document_id is not null or state <> 'live' or id <> all(%(made)s)
order by id <= %(after)s, id

-- name: collections_without_generation
select name from collections c
where not exists (select from generations g
                  where g.collection = c.name and g.state in ('live', 'building'))
order by name

-- name: building
select id from generations where collection = %(collection)s and state = 'building'

-- name: insert_generation
insert into generations (collection, state, index_name, model, dimension, avgdl)
values (%(collection)s, %(state)s, %(index_name)s, %(model)s, %(dimension)s, %(avgdl)s)
returning id

-- name: enqueue_all
insert into outbox (generation, document_id)
select %(generation)s, id from documents where collection = %(collection)s order by id
on conflict do nothing

-- name: retire
update generations set state = 'retired' where collection = %(collection)s and state = %(state)s

-- name: make_live
update generations set state = 'live' where id = %(id)s

-- name: forget_generation
delete from generations where id = %(id)s and state = 'retired'

-- name: settle_documents
-- The new generation holds the newest revision of every document.
update documents set indexed_revision = revision
where collection = %(collection)s and indexed_revision is distinct from revision

-- name: drop_old_chunks
delete from chunks c using documents d
where d.id = c.document_id and d.collection = %(collection)s and c.revision <> d.revision

-- name: due
-- Whoever has waited longest first, in the order of the index outbox_due: what is to wait is not read.
select o.generation, o.document_id, o.seq, o.attempts from outbox o
where o.not_before <= now() and o.generation = %(generation)s
order by o.not_before, o.seq limit %(limit)s

-- name: documents
select id, revision, project, path, title, content_type, metadata from documents
where id = any(%(ids)s)

-- name: chunks
select c.id::text as id, c.document_id, c.heading, c.text from chunks c
join documents d on d.id = c.document_id and c.revision = d.revision
where d.id = any(%(ids)s)
order by c.document_id, c.ordinal

-- name: sample
select c.heading, c.text, d.title from chunks c join documents d on d.id = c.document_id
where d.collection = %(collection)s order by c.id limit 2000

-- name: publish
-- Only when the document is still what was indexed; else its newer outbox row says so.
update documents set indexed_revision = revision where id = %(id)s and revision = %(revision)s

-- name: drop_replaced_chunks
delete from chunks c using documents d
where d.id = c.document_id and d.id = %(id)s and c.revision < d.indexed_revision

-- name: done
delete from outbox where generation = %(generation)s and document_id = %(id)s and seq = %(seq)s

-- name: failed
update outbox set attempts = attempts + 1, error = %(error)s,
       not_before = now() + least(interval '1 second' * 2 ^ least(attempts, 12), interval '1 hour')
where generation = %(generation)s and document_id = %(id)s and seq = %(seq)s

-- name: backlog
select count(*) as pending from outbox

-- name: backlog_of
select count(*) as pending, count(*) filter (where attempts > 0) as failing,
       coalesce(extract(epoch from now() - min(not_before) filter (where not_before <= now())), 0)
         ::double precision as longest
from outbox o join generations g on g.id = o.generation
where %(collection)s::text is null or g.collection = %(collection)s

-- name: waiting
select exists (select from outbox where generation = %(generation)s) as pending

-- name: cached_embeddings
select text_hash, vector from embeddings where model = %(model)s and text_hash = any(%(hashes)s)

-- name: keep_embedding
insert into embeddings (model, text_hash, vector) values (%(model)s, %(hash)s, %(vector)s)
on conflict do nothing

-- name: release_lock
select pg_advisory_unlock(%(lock)s)

-- name: take_lock
select pg_try_advisory_lock(%(lock)s) as taken

-- name: listen
listen aistack_outbox
