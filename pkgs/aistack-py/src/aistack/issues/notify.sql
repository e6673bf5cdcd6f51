-- name: alone
select pg_advisory_xact_lock(%(lock)s)

-- name: allowance
select greatest(0, %(per_hour)s - count(*)) as left
from issue_notices
where (result = 'sent' and ended_at > now() - interval '1 hour')
   or (result is null and tries > 0)

-- name: claim
-- Who sends one and dies leaves it to be sent again.
update issue_notices set tries = tries + 1, next_try = now() + interval '1 minute' * 2 ^ tries
where id in (
    select id from issue_notices where result is null and next_try <= now() order by id
    limit %(limit)s for update skip locked
)
returning id, issue, reason, tries

-- name: hold_back
update issue_notices set result = 'held_back', ended_at = now()
where result is null and tries = 0 and next_try <= now()

-- name: end
update issue_notices set result = %(result)s, ended_at = now() where id = %(id)s

-- name: held_back
select count(*) as notices from issue_notices
where result = 'held_back' and ended_at > coalesce(
    (select max(ended_at) from issue_notices where result = 'sent'), '-infinity')

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
