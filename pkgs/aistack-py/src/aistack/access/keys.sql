-- name: create
insert into api_keys (id, name, hash, scopes, collections, expires_at, per_minute, per_hour)
values (%(id)s, %(name)s, %(hash)s, %(scopes)s, %(collections)s, %(expires_at)s,
        %(per_minute)s, %(per_hour)s)
returning id, name, scopes, collections, created_at, expires_at, revoked_at, last_used_at,
          per_minute, per_hour

-- name: ensure
insert into api_keys (id, name, hash, scopes, per_minute, per_hour)
values (%(id)s, %(name)s, %(hash)s, %(scopes)s, %(per_minute)s, %(per_hour)s)
on conflict (id) do nothing
returning id

-- name: find
select id, name, hash, scopes, collections, per_minute, per_hour,
       revoked_at is null and (expires_at is null or expires_at > now()) as valid,
       extract(epoch from expires_at - now())::float8 as left_s
from api_keys where id = %(id)s

-- name: valid
select id, extract(epoch from expires_at - now())::float8 as left_s from api_keys
where id = any(%(ids)s) and revoked_at is null and (expires_at is null or expires_at > now())

-- name: list
select id, name, scopes, collections, created_at, expires_at, revoked_at, last_used_at,
       per_minute, per_hour
from api_keys order by created_at, id

-- name: revoke
-- Told with whether it was this call that ended it: only that is an event.
with before as (select id, revoked_at from api_keys where id = %(id)s for update)
update api_keys set revoked_at = coalesce(api_keys.revoked_at, now())
from before where api_keys.id = before.id
returning api_keys.id, name, scopes, collections, created_at, expires_at, api_keys.revoked_at,
          last_used_at, per_minute, per_hour, before.revoked_at is null as ended_now

-- name: lock
select id, name, scopes, collections, expires_at, per_minute, per_hour from api_keys
where id = %(id)s and revoked_at is null and (expires_at is null or expires_at > now())
for update

-- name: expire
update api_keys set expires_at = least(coalesce(expires_at, 'infinity'), %(at)s)
where id = %(id)s

-- name: used
-- Once a minute is enough: the column answers "is this key still in use?", nothing finer.
update api_keys set last_used_at = now()
where id = %(id)s and (last_used_at is null or last_used_at < now() - interval '1 minute')

-- name: note_event
insert into key_events (key_id, event, actor) values (%(key_id)s, %(event)s, %(actor)s)

-- name: events
select at, key_id, event, actor from key_events
where %(key_id)s::text is null or key_id = %(key_id)s
order by id desc limit %(limit)s
