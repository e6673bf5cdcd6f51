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
