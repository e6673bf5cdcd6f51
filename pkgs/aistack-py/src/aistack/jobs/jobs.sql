-- name: has_ledger
select to_regclass('job_totals') is not null as found

-- name: start
with counted as (
    insert into job_totals (job, started) values (%(job)s, 1)
    on conflict (job) do update set started = job_totals.started + 1
)
insert into job_runs (job, started_at) values (%(job)s, coalesce(%(started_at)s, now()))
returning id

-- name: hold
-- Ends with the connection, so with the process: a run without finish that nobody holds was killed.
select pg_try_advisory_lock(%(space)s, (%(id)s & 2147483647)::integer) as taken

-- name: finish
with ended as (
    update job_runs set finished_at = now(), outcome = %(outcome)s, detail = %(detail)s
    where id = %(id)s and finished_at is null
    returning job
)
update job_totals t
set ok = t.ok + (%(outcome)s = 'ok')::integer,
    failed = t.failed + (%(outcome)s = 'failed')::integer,
    last_ok_at = case when %(outcome)s = 'ok' then now() else t.last_ok_at end,
    last_failed_at = case when %(outcome)s = 'failed' then now() else t.last_failed_at end
from ended where t.job = ended.job

-- name: prune
-- Never a run that lives: its end would not be counted.
delete from job_runs r where r.job = %(job)s and r.id <= (
    select id from job_runs where job = %(job)s order by id desc offset %(keep)s limit 1
) and not (
    r.finished_at is null and exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
          and l.database = (select oid from pg_database where datname = current_database())
          and l.classid = %(space)s::bigint and l.objid = (r.id & 2147483647)
    )
)

-- name: runs
select r.id, r.job, r.started_at, r.finished_at, r.detail,
       coalesce(r.outcome, case when exists (
           select from pg_locks l
           where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
             and l.database = (select oid from pg_database where datname = current_database())
             and l.classid = %(space)s::bigint and l.objid = (r.id & 2147483647)
       ) then 'running' else 'unfinished' end) as state
from job_runs r
where %(job)s::text is null or r.job = %(job)s
order by r.id desc limit %(limit)s

-- name: totals
select job, started, ok, failed,
       extract(epoch from last_ok_at)::double precision as last_ok,
       extract(epoch from last_failed_at)::double precision as last_failed
from job_totals order by job
