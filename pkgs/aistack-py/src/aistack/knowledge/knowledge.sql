-- name: collections
select c.name, c.description,
       (select count(distinct o.document_id) from outbox o join generations g
         on g.id = o.generation where g.collection = c.name) as pending,
       coalesce((select g.model is not null from generations g
         where g.collection = c.name and g.state = 'live'), false) as dense
from collections c
where %(name)s::text is null or c.name = %(name)s
order by c.name

-- name: count_collections
-- Reads every passage of what it counts: seconds where there are millions.
select c.name,
       (select count(*) from documents d where d.collection = c.name) as documents,
       (select count(*) from chunks k join documents d on d.id = k.document_id
         where d.collection = c.name and k.revision = d.revision) as chunks
from collections c
where %(name)s::text is null or c.name = %(name)s

-- name: create_collection
insert into collections (name, description) values (%(name)s, %(description)s)
on conflict (name) do nothing

-- name: describe_collection
update collections set description = %(description)s
where name = %(name)s and description <> %(description)s

-- name: share_collection
-- Writers of documents share the collection; whoever changes its generations has it alone.
select name from collections where name = %(name)s for share

-- name: own_collection
select name from collections where name = %(name)s for update

-- name: delete_collection
with docs as (delete from documents where collection = %(name)s),
     gens as (update generations set state = 'retired' where collection = %(name)s)
delete from collections where name = %(name)s

-- name: find_document
select id, checksum, title, content_type, metadata, revision from documents
where collection = %(collection)s and project = %(project)s and path = %(path)s
for update

-- name: insert_document
insert into documents (collection, project, path, title, content_type, checksum, size_bytes,
                       metadata, content)
values (%(collection)s, %(project)s, %(path)s, %(title)s, %(content_type)s, %(checksum)s,
        %(size_bytes)s, %(metadata)s, %(content)s)
on conflict (collection, project, path) do nothing
returning id, revision

-- name: update_document
update documents set title = %(title)s, content_type = %(content_type)s,
       checksum = %(checksum)s, size_bytes = %(size_bytes)s, metadata = %(metadata)s,
       content = %(content)s, revision = revision + 1, updated_at = now()
where id = %(id)s
returning id, revision

-- name: drop_unindexed_chunks
-- A revision that was never indexed goes; the indexed one stays until the new one is.
delete from chunks c using documents d
where d.id = c.document_id and d.id = %(id)s and c.revision is distinct from d.indexed_revision

-- name: insert_chunks
insert into chunks (document_id, revision, ordinal, heading, text)
select %(id)s, %(revision)s, ordinality - 1, heading, text
from unnest(%(headings)s::text[], %(texts)s::text[]) with ordinality as t (heading, text, ordinality)

-- name: enqueue
insert into outbox (generation, document_id)
select g.id, d.id from generations g, unnest(%(ids)s::uuid[]) d (id)
where g.collection = %(collection)s and g.state in ('live', 'building')
order by d.id
on conflict (generation, document_id)
do update set seq = default, attempts = 0, not_before = now(), error = null

-- name: notify
select pg_notify('aistack_outbox', '')

-- name: document_info
select id, collection, project, path, title, content_type, checksum, size_bytes, metadata,
       revision, coalesce(indexed_revision = revision, false) as indexed, created_at, updated_at
from documents where id = %(id)s

-- name: document
select id, collection, project, path, title, content_type, checksum, size_bytes, metadata,
       revision, coalesce(indexed_revision = revision, false) as indexed, created_at, updated_at,
       content
from documents where id = %(id)s

-- name: lock_document
select id, collection, revision from documents where id = %(id)s for update

-- name: delete_documents
delete from documents where id = any(%(ids)s)

-- name: documents_of_project
select id from documents where collection = %(collection)s and project = %(project)s
order by id limit %(limit)s for update

-- name: list_documents
select id, collection, project, path, title, content_type, checksum, size_bytes, metadata,
       revision, coalesce(indexed_revision = revision, false) as indexed, created_at, updated_at
from documents
where collection = %(collection)s
  and (%(project)s::text is null or project = %(project)s)
  and (%(under)s::text is null or starts_with(path, %(under)s))
  and (%(after_project)s::text is null
       or (project, path) > (%(after_project)s, %(after_path)s))
order by project, path
limit %(limit)s

-- name: count_documents
select count(*) as total,
       exists (select from collections where name = %(collection)s) as exists
from documents
where collection = %(collection)s
  and (%(project)s::text is null or project = %(project)s)
  and (%(under)s::text is null or starts_with(path, %(under)s))

-- name: checksums
select path, checksum from documents where collection = %(collection)s and project = %(project)s

-- name: hits
-- Of the given passages, in their order, those that are visible: not of documents that are gone,
-- replaced, or half-way into the index. How many, and one page of them; a row without a passage
-- where the page is empty. `live` is the index that answers for the collection now.
-- offset 0 keeps the order of the lookups: two primary keys a passage, whatever the planner thinks
-- of tables that were filled a minute ago (it would read the whole collection first).
with visible as materialized (
    select a.place, c.id from unnest(%(ids)s::uuid[]) with ordinality as a (id, place),
    lateral (select * from chunks where id = a.id offset 0) c,
    lateral (select from documents where id = c.document_id and indexed_revision = c.revision
             and collection = %(collection)s offset 0) d
), page as (
    select place, id from visible order by place limit %(limit)s offset %(offset)s
)
select (select index_name from generations
        where collection = %(collection)s and state = 'live') as live,
       (select count(*) from visible) as total, p.id::text as chunk_id, c.heading, c.text,
       d.id as document_id, d.collection, d.project, d.path, d.title, d.metadata
from (values (1)) as always (row) left join page p on true
left join chunks c on c.id = p.id left join documents d on d.id = c.document_id
order by p.place

-- name: instance
select value from instance where key = %(key)s
