-- name: due
select exists (select from issue_notices where result is null and next_try <= now()) as due

-- name: alone
select pg_advisory_xact_lock(%(lock)s)

-- name: allowance
-- Of new ones only: what waits for another try has had its place.
select greatest(0, %(per_hour)s - count(*)) as left
from issue_notices where begun_at > now() - interval '1 hour'

-- name: claim
-- Who sends one and dies leaves it to be sent again.
with again as (
    select id from issue_notices
    where result is null and begun_at is not null and next_try <= now()
    order by next_try, id limit %(again)s
), fresh as (
    select id from issue_notices
    where result is null and begun_at is null and next_try <= now() order by id limit %(fresh)s
)
update issue_notices set tries = tries + 1, begun_at = coalesce(begun_at, now()),
    next_try = now() + interval '1 minute' * 2 ^ (tries + 1)
where id in (select id from again union all select id from fresh)
returning id, issue, reason, tries, told

-- name: hold_back
update issue_notices set result = 'held_back', ended_at = now()
where result is null and begun_at is null and next_try <= now()

-- name: told
update issue_notices set told = told || %(channels)s::text[] where id = %(id)s

-- name: end
update issue_notices set result = %(result)s, ended_at = now() where id = %(id)s

-- name: held_back
-- Since somebody was told last, who was told of those before.
select count(*) as notices from issue_notices
where result = 'held_back' and ended_at > coalesce(
    (select max(begun_at) from issue_notices where told <> '{}' and id <> %(id)s), '-infinity')

-- name: announce
insert into issue_notices (issue, reason)
select issue, %(reason)s from unnest(%(issues)s::bigint[]) as issue
where not exists (
    select from issue_notices n
    where n.issue = issue and n.reason = %(reason)s and n.at > now() - interval '6 hours'
)

-- name: issue
select id, kind, title, component, severity, category, status, count, first_seen, last_seen,
       last_host, last_generation, regressions
from issues where id = %(id)s
