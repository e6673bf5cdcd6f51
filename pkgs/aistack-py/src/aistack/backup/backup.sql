-- name: tables
-- Partitions through their parents; nothing of a session's own, nor of an extension.
select format('%%I.%%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'p'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by 1

-- name: restore_point
select pg_create_restore_point(%(name)s)::text as lsn, now() as at

-- name: switch_wal
select pg_walfile_name(pg_switch_wal()) as segment

-- name: begin_run
insert into backup_runs (id, type, started_at) values (%(id)s, %(type)s, %(started_at)s)

-- name: unfinished
-- Killed, since whoever asks holds the lock.
update backup_runs set state = 'failed', finished_at = now(),
       report = jsonb_build_object('error', 'the run was killed')
where finished_at is null

-- name: end_run
update backup_runs
set state = %(state)s, finished_at = now(), report = %(report)s, record = %(record)s
where id = %(id)s

-- name: note_part
insert into backup_parts (repository, part, at, state, bytes, seconds, last_ok_at)
values (%(repository)s, %(part)s, now(), %(state)s, %(bytes)s, %(seconds)s,
        case when %(state)s = 'ok' then now() end)
on conflict (repository, part) do update
set at = excluded.at, state = excluded.state, bytes = excluded.bytes, seconds = excluded.seconds,
    last_ok_at = coalesce(excluded.last_ok_at, backup_parts.last_ok_at)

-- name: note_space
insert into backup_repositories (name, free_bytes, at) values (%(name)s, %(free_bytes)s, now())
on conflict (name) do update set free_bytes = excluded.free_bytes, at = excluded.at

-- name: note_verified
insert into backup_repositories (name, at, verified_at, verify_ok)
values (%(name)s, now(), case when %(ok)s then now() end, %(ok)s)
on conflict (name) do update
set verify_ok = excluded.verify_ok,
    verified_at = coalesce(excluded.verified_at, backup_repositories.verified_at)

-- name: note_drill
insert into backup_drills (repository, run, started_at, ok, rto_s, rpo_s, report)
values (%(repository)s, %(run)s, %(started_at)s, %(ok)s, %(rto_s)s, %(rpo_s)s, %(report)s)

-- name: runs
select id, type, started_at, finished_at, coalesce(state, 'running') as state,
       report ->> 'error' as error
from backup_runs order by started_at desc limit %(limit)s

-- name: parts
select repository, part, state, bytes, seconds, last_ok_at from backup_parts
where repository = any(%(repositories)s) order by 1, 2

-- name: repositories
select name, free_bytes, verified_at, verify_ok from backup_repositories
where name = any(%(repositories)s) order by 1

-- name: last_drill
select repository, run, started_at, finished_at, ok, rto_s, rpo_s, report from backup_drills
order by id desc limit 1

-- name: last_good_drill
select finished_at, rto_s, rpo_s from backup_drills where ok order by id desc limit 1

-- name: age
select extract(epoch from now() - max(last_ok_at))::double precision as seconds
from backup_parts where part = 'postgresql' and repository = any(%(repositories)s)

-- name: forget_old
-- What is asked of the past is asked of the repositories; these rows are for people and metrics.
with old_runs as (delete from backup_runs where started_at < now() - interval '400 days')
delete from backup_drills where started_at < now() - interval '400 days'

-- name: exposed
-- Seconds of writes that would be lost now: since the last segment that is safe, if any came after
-- it. A segment begins with a header of 40 bytes.
select case
         when (pg_walfile_name_offset(pg_current_wal_lsn())).file_offset <= 40
           and coalesce(last_archived_wal, '') >= pg_walfile_name(pg_current_wal_lsn() - 64::numeric)
           then 0
         else extract(epoch from now() - coalesce(last_archived_time, stats_reset))
       end::double precision as seconds
from pg_stat_archiver

-- name: live_generations
select id, collection, index_name from generations where state in ('live', 'building')

-- name: drop_points
-- Of these points those that are no passage of the document's newest or published revision.
select p.id from unnest(%(ids)s::uuid[]) p (id)
where not exists (select from chunks c where c.id = p.id)

-- name: all_passages
select c.id, c.document_id from chunks c join documents d on d.id = c.document_id
where d.collection = %(collection)s and c.revision = d.revision and c.id > %(after)s
order by c.id limit %(limit)s

-- name: enqueue
insert into outbox (generation, document_id)
select %(generation)s, d from unnest(%(documents)s::uuid[]) d
on conflict do nothing

-- name: archive_lag
-- For how long the segment before the one that is written has not been safe; null: no archiving.
with now_written as (
    select pg_walfile_name(greatest(
        pg_current_wal_lsn() - pg_size_bytes(current_setting('wal_segment_size'))::numeric,
        '0/0'::pg_lsn + pg_size_bytes(current_setting('wal_segment_size'))::numeric
    )) as before
    where not pg_is_in_recovery() and current_setting('archive_mode') <> 'off'
)
select case when coalesce(last_archived_wal, '') >= before then 0
            else extract(epoch from now() - coalesce(last_archived_time, stats_reset))
       end::double precision as lag
from now_written, pg_stat_archiver
