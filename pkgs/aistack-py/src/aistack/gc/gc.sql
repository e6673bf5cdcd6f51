-- name: moment
-- What is learned in a transaction has its beginning as its time, and is seen at its end: only
-- until the beginning of the oldest one under way everything is seen.
select clock_timestamp() as now,
       coalesce((select min(xact_start) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()),
                clock_timestamp()) as seen_until, count(*) filter (where deleted_at is null) as live,
       count(*) filter (where deleted_at is null and pinned) as pinned, count(*) as stored
from solutions

-- name: ranked
-- Solutions that may go, from the least valuable up; every tie is decided. A bound that is null
-- does not bind.
select id, value, created_at, updated_at, last_used_at,
       coalesce(last_used_at, created_at) as used_at,
       greatest(created_at, last_used_at, restored_at) as idle_since
from solutions
where deleted_at is null and not pinned
  and (%(value_below)s::float8 is null or value < %(value_below)s)
  and (%(idle_since)s::timestamptz is null
       or greatest(created_at, last_used_at, restored_at) < %(idle_since)s)
  and (%(learned_before)s::timestamptz is null or created_at < %(learned_before)s)
  and (%(after_id)s::uuid is null or (value, coalesce(last_used_at, created_at), id)
       > (%(after_value)s::float8, %(after_used)s::timestamptz, %(after_id)s::uuid))
order by value, coalesce(last_used_at, created_at), id
limit %(limit)s

-- name: live_index
select id, index_name from generations where collection = %(collection)s and state = 'live'

-- name: without_passage
-- Of these points those without a passage, unless the outbox has yet to tell the index so.
select p.id from unnest(%(ids)s::uuid[], %(documents)s::uuid[]) p (id, document)
where not exists (select from chunks c where c.id = p.id)
  and not exists (select from outbox o
                  where o.generation = %(generation)s and o.document_id = p.document)

-- name: still_orphans
select p.id from unnest(%(ids)s::uuid[]) p (id)
where not exists (select from chunks c where c.id = p.id)

-- name: indexed_documents
-- Of the next documents the passages that the index should have; empty where it need not yet. The
-- inner page has no condition whose share the planner could misjudge: for a few rows it would sort
-- the whole table, page for page.
select d.id, array(select c.id from chunks c
                   where d.due and c.document_id = d.id and c.revision = d.revision
                     and not exists (select from outbox o
                                     where o.generation = %(generation)s
                                       and o.document_id = d.id)) as chunks
from (select id, revision, indexed_revision = revision and updated_at < %(before)s as due
      from documents where collection = %(collection)s and id > %(after)s
      order by id limit %(limit)s) d
order by d.id

-- name: without_document
select id from solutions where deleted_at is null and document_id is null and id > %(after)s
order by id limit %(limit)s

-- name: count_new
select count(*) as number from solutions
where deleted_at is null
  and (%(since)s::timestamptz is null or created_at >= %(since)s)

-- name: kinds
-- What can be compared: the same model, and vectors of one length (a model's may have changed).
select coalesce(vector_model, '') as model, coalesce(octet_length(question_vector), 0) as bytes
from solutions where deleted_at is null group by 1, 2 order by 1, 2

-- name: sketched
-- The next solutions, and of those of one kind what similarity is told by. They come in pages of
-- all kinds: what a kind's share is the planner cannot know, and it would sort the whole table,
-- page for page.
select id, ours, value, pinned, created_at, coalesce(last_used_at, created_at) as used_at,
       (%(since)s::timestamptz is null or created_at >= %(since)s) as new,
       case when ours then question_vector end as question_vector,
       case when ours then answer_vector end as answer_vector,
       case when ours and question_vector is null then question end as question,
       case when ours and question_vector is null then answer end as answer
from (select *, coalesce(vector_model, '') = %(model)s
                and coalesce(octet_length(question_vector), 0) = %(bytes)s as ours
      from solutions where deleted_at is null and id > %(after)s
      order by id limit %(limit)s) page
order by id

-- name: compared
select id, value, updated_at, last_used_at, pinned, question, answer, vector_model,
       question_vector, answer_vector
from solutions where id = any(%(ids)s) and deleted_at is null

-- name: try_lock
select pg_try_advisory_lock(%(lock)s) as taken

-- name: unlock
select pg_advisory_unlock(%(lock)s)

-- name: lock_taken
select exists (
    select from pg_locks
    where locktype = 'advisory' and objsubid = 1 and granted
      and database = (select oid from pg_database where datname = current_database())
      and classid = %(lock)s::bigint >> 32 and objid = %(lock)s::bigint & 4294967295
) as taken

-- name: bury_the_killed
-- Whoever holds the lock knows that no other run is under way.
with buried as (
    update gc_runs set finished_at = now(), result = 'killed' where finished_at is null
    returning kind
), dead as (select count(*) as number from buried where kind = 'run')
insert into gc_totals (metric, label, value)
select 'runs', 'killed', number from dead where number > 0
on conflict (metric, label) do update set value = gc_totals.value + excluded.value

-- name: start_run
insert into gc_runs (kind, undoes, forced) values (%(kind)s, %(undoes)s, %(forced)s) returning id

-- name: finish_run
update gc_runs set finished_at = now(), result = %(result)s, live_before = %(live_before)s,
       live_after = (select count(*) from solutions where deleted_at is null),
       report = %(report)s, compared_until = %(compared_until)s,
       compared_similarity = %(compared_similarity)s
where id = %(id)s
returning live_after

-- name: add_total
insert into gc_totals (metric, label, value) values (%(metric)s, %(label)s, %(value)s)
on conflict (metric, label) do update set value = gc_totals.value + excluded.value

-- name: last_live
-- How many solutions there were after the newest run or undo that came to its end.
select live_after from gc_runs where result in ('ok', 'partial') order by id desc limit 1

-- name: last_compared
select compared_until, compared_similarity from gc_runs
where compared_until is not null order by id desc limit 1

-- name: record_deletions
-- The audit rows, and the counters that outlive them: what is recorded twice counts once.
with fresh as (
    insert into gc_deletions (run, subject, reason, evidence, keeper)
    select %(run)s, d.* from unnest(%(subjects)s::uuid[], %(reasons)s::text[],
                                    %(evidence)s::jsonb[], %(keepers)s::uuid[]) d
    on conflict do nothing returning reason
)
insert into gc_totals (metric, label, value)
select 'deleted', reason, count(*) from fresh group by reason order by reason
on conflict (metric, label) do update set value = gc_totals.value + excluded.value

-- name: run_exists
select kind from gc_runs where id = %(id)s

-- name: in_trash_of
select id from solutions where deleted_by = %(run)s and deleted_at is not null
  and id > %(after)s
order by id limit %(limit)s

-- name: record_restored
update gc_deletions set restored_at = now() where run = %(run)s and subject = any(%(ids)s)

-- name: runs
select r.id, r.kind, r.undoes, r.started_at, r.finished_at, coalesce(r.result, 'running') as result,
       r.forced, r.live_before, r.live_after, r.report,
       (select count(*) from gc_deletions d where d.run = r.id) as deleted,
       (select count(*) from gc_deletions d
         where d.run = r.id and d.restored_at is not null) as restored
from gc_runs r
where %(id)s::bigint is null or r.id = %(id)s
order by r.id desc limit %(limit)s

-- name: deletions
select run, subject, reason, evidence, keeper, at, restored_at from gc_deletions
where run = %(run)s and subject > %(after)s order by subject limit %(limit)s

-- name: status
select count(*) filter (where deleted_at is null) as solutions,
       count(*) filter (where deleted_at is null and pinned) as pinned,
       count(*) filter (where deleted_at is not null) as in_trash,
       pg_total_relation_size('solutions') as storage_bytes,
       (select max(finished_at) from gc_runs where kind = 'run' and result = 'ok')
         as last_success_at
from solutions

-- name: stored
-- For a scrape: it must not count the whole table.
select (select count(*) from solutions where deleted_at is not null) as in_trash,
       pg_total_relation_size('solutions') as storage_bytes,
       (select extract(epoch from max(finished_at))::double precision
        from gc_runs where kind = 'run' and result = 'ok') as last_success

-- name: totals
select metric, label, value from gc_totals order by metric, label
