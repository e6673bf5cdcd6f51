-- name: progress
select segment, "offset" from issue_spools where spool = %(spool)s

-- name: advance
insert into issue_spools as s (spool, segment, "offset") values (%(spool)s, %(segment)s, %(end)s)
on conflict (spool) do update set segment = %(segment)s, "offset" = %(end)s, at = now()
-- Another reader was here first: what this one has is counted already.
where (s.segment, s."offset") is not distinct from (%(before_segment)s, %(before_offset)s::bigint)
returning true as taken

-- name: known
select fingerprint_version, fingerprint from issues
where (fingerprint_version, fingerprint) in (
    select * from unnest(%(versions)s::smallint[], %(digests)s::bytea[])
)

-- name: upsert
-- Rows come as JSON: many times cheaper for the client than arrays.
with told as (
    select * from json_to_recordset(%(rows)s::json) as t (
        version smallint, digest text, kind text, title text, component text, severity text,
        category text, first timestamptz, last timestamptz, count bigint, generation integer,
        host text, tags text[])
)
insert into issues as i (
    fingerprint_version, fingerprint, kind, title, component, severity, category, first_seen,
    last_seen, count, first_generation, last_generation, last_host, tags
)
select version, decode(digest, 'hex'), kind, title, component, severity, category, first, last,
       count, generation, generation, host, tags
from told
-- In one order everywhere: two writers must not wait for each other.
order by version, digest
on conflict (fingerprint_version, fingerprint) do update set
    count = i.count + excluded.count,
    first_seen = least(i.first_seen, excluded.first_seen),
    last_seen = greatest(i.last_seen, excluded.last_seen),
    last_generation = case when excluded.last_seen >= i.last_seen
        then coalesce(excluded.last_generation, i.last_generation) else i.last_generation end,
    last_host = case when excluded.last_seen >= i.last_seen
        then excluded.last_host else i.last_host end,
    title = case when excluded.last_seen >= i.last_seen then excluded.title else i.title end,
    tags = case when excluded.last_seen >= i.last_seen then excluded.tags else i.tags end,
    status = case
        when i.status = 'resolved' and excluded.last_seen > i.resolved_at
            and coalesce(excluded.last_generation >= i.resolved_generation, true) then 'open'
        when i.status = 'muted' and (excluded.last_seen > i.muted_until
            or i.count + excluded.count >= i.muted_until_count) then 'open'
        else i.status end,
    regressions = i.regressions + case
        when i.status = 'resolved' and excluded.last_seen > i.resolved_at
            and coalesce(excluded.last_generation >= i.resolved_generation, true) then 1
        else 0 end,
    regressed_at = case
        when i.status = 'resolved' and excluded.last_seen > i.resolved_at
            and coalesce(excluded.last_generation >= i.resolved_generation, true) then now()
        else i.regressed_at end,
    resolved_at = case
        when i.status = 'resolved' and excluded.last_seen > i.resolved_at
            and coalesce(excluded.last_generation >= i.resolved_generation, true) then null
        else i.resolved_at end
returning id, fingerprint_version as version, fingerprint as digest, count, severity, category,
          status, xmax = 0 as created, regressed_at is not distinct from now() as regressed

-- name: occurrences
insert into issue_occurrences
    (issue, slot, number, at, message, stack, context, request_id, host, generation, release, source)
select * from json_to_recordset(%(rows)s::json) as t (
    issue bigint, slot integer, number bigint, at timestamptz, message text, stack text,
    context jsonb, request_id text, host text, generation integer, release text, source text)
order by issue, slot
on conflict (issue, slot) do update set
    number = excluded.number, at = excluded.at, message = excluded.message, stack = excluded.stack,
    context = excluded.context, request_id = excluded.request_id, host = excluded.host,
    generation = excluded.generation, release = excluded.release, source = excluded.source

-- name: rates
insert into issue_rates as r (issue, bucket, count)
select * from json_to_recordset(%(rows)s::json) as t (
    issue bigint, bucket integer, count integer)
order by issue, bucket
on conflict (issue, bucket) do update set count = r.count + excluded.count

-- name: count_totals
insert into issue_totals as t (metric, severity, category, value)
select * from unnest(
    %(metrics)s::text[], %(severities)s::text[], %(categories)s::text[], %(values)s::double precision[]
)
order by 1, 2, 3
on conflict (metric, severity, category) do update set value = t.value + excluded.value

-- name: generations
insert into issue_generations (host, generation, at)
select * from unnest(%(hosts)s::text[], %(generations)s::integer[], %(ats)s::timestamptz[])
order by 1, 2
on conflict (host, generation) do nothing

-- name: notices
insert into issue_notices (issue, reason)
select * from unnest(%(issues)s::bigint[], %(reasons)s::text[])

-- name: note
insert into issue_events (issue, event, detail, actor)
values (%(issue)s, %(event)s, %(detail)s, %(actor)s)

-- name: get
select id, kind, title, component, severity, category, status, first_seen, last_seen, count,
       first_generation, last_generation, last_host, regressions, regressed_at, resolved_at,
       resolved_generation, resolution, muted_until, muted_until_count, duplicate_of, assignee,
       tags, pinned, fingerprint_version || ':' || encode(fingerprint, 'hex') as fingerprint
from issues where id = %(id)s

-- name: by_fingerprint
select id from issues where fingerprint_version = %(version)s and fingerprint = %(digest)s

-- name: occurrences_of
select number, at, message, stack, context, request_id, host, generation, release, source
from issue_occurrences where issue = %(id)s order by number desc

-- name: links_of
select target from issue_links where issue = %(id)s order by at, target

-- name: history_of
select at, event, detail, actor from issue_events where issue = %(id)s order by id desc limit 50

-- name: recent
-- What was done to issues, and those that are new, newest first. Ids grow with time.
(select e.at, i.id, i.title, i.severity, e.event, e.actor
 from issue_events e join issues i on i.id = e.issue order by e.id desc limit %(limit)s)
union all
(select first_seen, id, title, severity, 'opened', 'tracker'
 from issues order by id desc limit %(limit)s)
order by at desc limit %(limit)s

-- name: list
select id, kind, title, component, severity, category, status, first_seen, last_seen, count,
       first_generation, last_generation, last_host, regressions, regressed_at, resolved_at,
       resolved_generation, resolution, muted_until, muted_until_count, duplicate_of, assignee,
       tags, pinned, fingerprint_version || ':' || encode(fingerprint, 'hex') as fingerprint
from issues
where (%(statuses)s::text[] is null or status = any(%(statuses)s))
  and (%(severity)s::text is null or severity = %(severity)s)
  and (%(category)s::text is null or category = %(category)s)
  and (%(component)s::text is null or component = %(component)s)
  and (%(kind)s::text is null or kind = %(kind)s)
  and (%(assignee)s::text is null or assignee = %(assignee)s)
  and (%(tag)s::text is null or %(tag)s = any(tags))
  and (%(host)s::text is null or last_host = %(host)s)
  and (%(generation)s::integer is null or last_generation = %(generation)s)
  and (%(first_generation)s::integer is null or first_generation = %(first_generation)s)
  and (%(min_count)s::bigint is null or count >= %(min_count)s)
  and (not %(pinned)s or pinned)
  and (%(fingerprint)s::text is null
       or fingerprint_version || ':' || encode(fingerprint, 'hex') = %(fingerprint)s)
  and (not %(regressed)s or (regressed_at is not null and resolved_at is null))
  and (%(text)s::text is null or strpos(lower(title), lower(%(text)s)) > 0)
  and (%(since)s::timestamptz is null or last_seen >= %(since)s)
  and (%(until)s::timestamptz is null or last_seen < %(until)s)
  and (%(new_since)s::timestamptz is null or first_seen >= %(new_since)s)
  and (%(new_until)s::timestamptz is null or first_seen < %(new_until)s)
  and (%(resolved_since)s::timestamptz is null or resolved_at >= %(resolved_since)s)
  and (%(resolved_until)s::timestamptz is null or resolved_at < %(resolved_until)s)
  -- One that a recurrence opened again still has the time.
  and (%(muted_until)s::timestamptz is null or (status = 'muted' and muted_until < %(muted_until)s))
  and (%(duplicate_of)s::bigint is null or duplicate_of = %(duplicate_of)s)
  and (%(at)s::timestamptz is null or (last_seen, id) < (%(at)s, %(last)s::bigint))
order by last_seen desc, id desc limit %(limit)s

-- name: ids
-- By id, which no event changes: each that is there all the time comes once.
select id from issues
where id > %(after)s and (%(since)s::timestamptz is null or last_seen >= %(since)s)
order by id limit %(limit)s

-- name: lock
-- In the order of upsert, whose events may be of both: neither it nor a second change, which names
-- the same two the other way round, waits for one that waits for it.
select id, status, severity, category, first_seen, duplicate_of from issues
where id = any(%(ids)s::bigint[]) order by fingerprint_version, fingerprint for update

-- name: change
update issues set
    status = coalesce(%(status)s, status),
    severity = coalesce(%(severity)s, severity),
    category = coalesce(%(category)s, category),
    pinned = coalesce(%(pinned)s::boolean, pinned),
    assignee = case when %(assignee)s::text is null then assignee else nullif(%(assignee)s, '') end,
    resolution = case when %(status)s::text is null then coalesce(%(resolution)s, resolution)
        else %(resolution)s end,
    resolved_at = case when %(status)s::text is null then resolved_at
        when %(status)s = 'resolved' then now() end,
    resolved_generation = case when %(status)s::text is null then resolved_generation
        else %(in_generation)s::integer end,
    muted_until = case when %(status)s::text is null then muted_until
        else %(muted_until)s::timestamptz end,
    muted_until_count = case when %(status)s::text is null then muted_until_count
        else %(muted_until_count)s::bigint end,
    duplicate_of = case when %(status)s::text is null then duplicate_of
        else %(duplicate_of)s::bigint end
where id = %(id)s

-- name: link
insert into issue_links (issue, target) values (%(issue)s, %(target)s) on conflict do nothing

-- name: try_tidy
select pg_try_advisory_xact_lock(%(lock)s) as taken

-- name: evict
-- The least worth keeping first; never pinned ones, nor critical ones that nobody has ended.
-- Counted and deleted by one statement of one process: two would take the excess twice.
-- One that gets an event now is passed over: its writer may wait for another one of these.
delete from issues where id = any(array(
    select id from issues
    where not pinned
      and not (severity = 'critical' and status in ('open', 'investigating', 'in_progress', 'muted'))
    order by (status in ('resolved', 'wont_fix', 'duplicate')) desc, last_seen
    limit least(%(limit)s, greatest(0, (select count(*) from issues) - %(most)s))
    for update skip locked
))

-- name: forget_rates
delete from issue_rates where ctid = any(array(
    select ctid from issue_rates where bucket < %(before)s limit %(limit)s
))

-- name: forget_slots
delete from issue_occurrences where slot >= %(ring)s

-- name: forget_notices
delete from issue_notices where id in (
    select id from issue_notices where ended_at < now() - interval '2 days' limit %(limit)s
)

-- name: totals
select metric, severity, category, value from issue_totals

-- name: active
select severity, category, count(*) as issues from issues
where status in ('open', 'investigating', 'in_progress') group by 1, 2
