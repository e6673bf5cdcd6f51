-- name: candidates
-- Solutions that may be the same problem: named by search, with the very same question, or not
-- in the index yet; without those that were compared already.
with near as (
    select id from solutions where document_id = any(%(documents)s)
    union
    (select id from solutions
     where hashtextextended(question, 0) = hashtextextended(%(question)s::text, 0)
       and question = %(question)s and deleted_at is null
     order by answer = %(answer)s desc, value desc, id limit 100)
    union
    (select s.id from (
         select o.document_id from outbox o join generations g on g.id = o.generation
         where g.collection = %(collection)s and g.state = 'live' order by o.seq desc limit 200
     ) waiting join solutions s on s.document_id = waiting.document_id)
)
select s.id, s.question, s.vector_model, s.question_vector, s.answer_vector, s.document_id,
       s.answer = %(answer)s as same
from near join solutions s on s.id = near.id
where s.deleted_at is null and s.id <> all(%(known)s::uuid[])
order by s.id

-- name: answers
select id, question, answer from solutions where id = any(%(ids)s) and deleted_at is null

-- name: renew_vectors
update solutions set vector_model = %(vector_model)s, question_vector = %(question_vector)s,
       answer_vector = %(answer_vector)s
where id = %(id)s

-- name: learn_lock
-- One at a time may decide whether a solution is new: two of the same would both be.
select pg_advisory_xact_lock(%(lock)s)

-- name: lock_solution
select id, question, answer, tags, examples, parts, successes, partials, failures, feedback_sum,
       feedback_count, uses, document_id, deleted_at, merged_into
from solutions where id = %(id)s for update

-- name: insert_solution
insert into solutions (id, question, answer, tags, value, parts, successes, partials, failures,
                       feedback_sum, feedback_count, vector_model, question_vector, answer_vector,
                       document_id)
values (%(id)s, %(question)s, %(answer)s, %(tags)s, %(value)s, %(parts)s, %(successes)s,
        %(partials)s, %(failures)s, %(feedback_sum)s, %(feedback_count)s, %(vector_model)s,
        %(question_vector)s, %(answer_vector)s, %(document_id)s)

-- name: update_solution
update solutions set tags = %(tags)s, examples = %(examples)s, value = %(value)s,
       parts = %(parts)s, successes = %(successes)s, partials = %(partials)s,
       failures = %(failures)s, feedback_sum = %(feedback_sum)s,
       feedback_count = %(feedback_count)s, document_id = %(document_id)s, updated_at = now()
where id = %(id)s

-- name: lock_used
select id, parts, successes, partials, failures, feedback_sum, feedback_count, uses
from solutions where id = any(%(ids)s) and deleted_at is null order by id for update

-- name: count_used
update solutions set uses = %(uses)s, value = %(value)s, parts = %(parts)s,
       last_used_at = greatest(coalesce(last_used_at, '-infinity'), %(at)s)
where id = %(id)s

-- name: solution
select id, question, answer, tags, examples, value, parts, successes, partials, failures,
       feedback_sum, feedback_count, uses, last_used_at, pinned, document_id, created_at,
       updated_at
from solutions where id = %(id)s and deleted_at is null

-- name: solutions
select id, question, tags, value, successes, partials, failures, uses, last_used_at, pinned,
       created_at, updated_at
from solutions
where deleted_at is null and value >= %(min_value)s
  and (%(tag)s::text is null or %(tag)s = any(tags))
  and (%(pinned)s::boolean is null or pinned = %(pinned)s)
  and (%(before)s::timestamptz is null or (created_at, id) < (%(before)s, %(before_id)s::uuid))
order by created_at desc, id desc
limit %(limit)s

-- name: solutions_of_documents
select id, question, answer, examples, value, successes, partials, failures, pinned,
       vector_model, question_vector, answer_vector, document_id
from solutions where document_id = any(%(documents)s) and deleted_at is null

-- name: pin
update solutions set pinned = %(pinned)s where id = %(id)s and deleted_at is null
returning id

-- name: of_idempotency_key
select * from interactions
where created_by = %(created_by)s and idempotency_key = %(idempotency_key)s

-- name: insert_interaction
insert into interactions (created_by, idempotency_key, request_hash, session, question, response,
                          agent, model, tags, context_ids, tokens, latency_ms)
values (%(created_by)s, %(idempotency_key)s, %(request_hash)s, %(session)s, %(question)s,
        %(response)s, %(agent)s, %(model)s, %(tags)s, %(context_ids)s, %(tokens)s, %(latency_ms)s)
on conflict (created_by, idempotency_key) do nothing
returning *

-- name: interaction
select * from interactions where id = %(id)s

-- name: lock_interaction
select * from interactions where id = %(id)s for update

-- name: set_outcome
update interactions set outcome = %(outcome)s, feedback = %(feedback)s, outcome_at = now(),
       value = %(value)s, parts = %(parts)s, solution_id = %(solution_id)s
where id = %(id)s
returning *

-- name: turns
select id, question, response from interactions
where created_by = %(created_by)s and session = %(session)s
order by created_at desc, id desc limit %(limit)s

-- name: interaction_stats
select count(*) as total,
       count(*) filter (where outcome = 'success') as success,
       count(*) filter (where outcome = 'partial') as partial,
       count(*) filter (where outcome = 'failure') as failure,
       count(*) filter (where outcome is null) as unknown,
       count(distinct (created_by, session)) filter (where session is not null) as sessions,
       avg(value) as average_value, avg(feedback) as average_feedback, max(created_at) as last_at
from interactions
where %(created_by)s::text is null or created_by = %(created_by)s

-- name: solution_stats
select count(*) filter (where deleted_at is null) as total,
       count(*) filter (where deleted_at is null and pinned) as pinned,
       count(*) filter (where deleted_at is not null) as in_trash,
       avg(value) filter (where deleted_at is null) as average_value,
       coalesce(sum(uses) filter (where deleted_at is null), 0) as uses,
       coalesce(sum(greatest(0, successes + partials - 1))
                filter (where deleted_at is null), 0) as merged,
       max(created_at) filter (where deleted_at is null) as last_at
from solutions

-- name: training
select id, created_at, question, response, outcome, feedback, value, agent, model, tags,
       solution_id
from interactions
where value >= %(min_value)s
  and (%(outcome)s::text is null or outcome = %(outcome)s)
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (%(created_by)s::text is null or created_by = %(created_by)s)
  and (%(after)s::timestamptz is null or (created_at, id) > (%(after)s, %(after_id)s::uuid))
order by created_at, id
limit %(limit)s
