-- name: create
insert into api_keys (id, name, hash, scopes, collections, expires_at)
values (%(id)s, %(name)s, %(hash)s, %(scopes)s, %(collections)s, %(expires_at)s)
returning id, name, scopes, collections, created_at, expires_at, revoked_at, last_used_at

-- name: ensure
insert into api_keys (id, name, hash, scopes)
values (%(id)s, %(name)s, %(hash)s, %(scopes)s)
on conflict (id) do nothing
returning id

-- name: find
select id, name, hash, scopes, collections,
       revoked_at is null and (expires_at is null or expires_at > now()) as valid
from api_keys where id = %(id)s

-- name: list
select id, name, scopes, collections, created_at, expires_at, revoked_at, last_used_at
from api_keys order by created_at, id

-- name: revoke
update api_keys set revoked_at = coalesce(revoked_at, now()) where id = %(id)s
returning id, name, scopes, collections, created_at, expires_at, revoked_at, last_used_at

-- name: lock
select id, name, scopes, collections, expires_at from api_keys
where id = %(id)s and revoked_at is null and (expires_at is null or expires_at > now())
for update

-- name: expire
update api_keys set expires_at = least(coalesce(expires_at, 'infinity'), %(at)s)
where id = %(id)s

-- name: used
-- Once a minute is enough: the column answers "is this key still in use?", nothing finer.
update api_keys set last_used_at = now()
where id = %(id)s and (last_used_at is null or last_used_at < now() - interval '1 minute')
