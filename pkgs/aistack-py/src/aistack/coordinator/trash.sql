-- name: lock
select id, question, answer, tags, examples, value, parts, successes, partials, failures,
       feedback_sum, feedback_count, uses, last_used_at, pinned, document_id, updated_at,
       deleted_at, merged_into
from solutions where id = any(%(ids)s) order by id for update

-- name: put_away
update solutions s
set deleted_at = now(), deleted_by = %(run)s, delete_reason = d.reason, merged_into = d.keeper
from unnest(%(ids)s::uuid[], %(reasons)s::text[], %(keepers)s::uuid[]) d (id, reason, keeper)
where s.id = d.id

-- name: bring_back
update solutions set deleted_at = null, deleted_by = null, delete_reason = null,
       merged_into = null, restored_at = now(), document_id = %(document_id)s
where id = %(id)s

-- name: set_document
update solutions set document_id = %(document_id)s where id = %(id)s

-- name: recount
update solutions set tags = %(tags)s, examples = %(examples)s, value = %(value)s,
       parts = %(parts)s, successes = %(successes)s, partials = %(partials)s,
       failures = %(failures)s, feedback_sum = %(feedback_sum)s,
       feedback_count = %(feedback_count)s, uses = %(uses)s, last_used_at = %(last_used_at)s,
       document_id = %(document_id)s, updated_at = now()
where id = %(id)s

-- name: families
-- Those of the given ones that are a duplicate of something, or have duplicates.
select s.id, s.merged_into from solutions s
where s.id = any(%(ids)s) and s.deleted_at is not null
  and (s.merged_into is not null
       or exists (select from solutions c where c.merged_into = s.id))
order by s.id

-- name: hand_on_interactions
update interactions set solution_id = (select merged_into from solutions where id = %(id)s)
where solution_id = %(id)s

-- name: hand_on_children
update solutions set merged_into = (select merged_into from solutions where id = %(id)s)
where merged_into = %(id)s

-- name: purge
delete from solutions where id = any(%(ids)s) and deleted_at is not null
