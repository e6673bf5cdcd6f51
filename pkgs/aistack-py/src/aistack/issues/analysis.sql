-- name: settings
-- Sums over all of a large window: in memory, and without a compiler's second.
select set_config('work_mem', '64MB', true), set_config('jit', 'off', true)

-- name: rates
-- Each issue seen in the window, and of all of them those that are worth a line in a list.
with rated as materialized (
    select i.id, i.first_seen, i.regressed_at, h.events, h.latest, h.newer,
           h.events - h.newer as older
    from (
        select issue, sum(count) as events,
               coalesce(sum(count) filter (where bucket > %(last)s - 12), 0) as latest,
               coalesce(sum(count) filter (where bucket > %(last)s - %(half)s), 0) as newer
        from issue_rates where bucket > %(last)s - %(spans)s and bucket <= %(last)s
        group by issue
    ) h join issues i on i.id = h.issue
), listed as (
    (select 'top' as list, events::double precision as worth, * from rated
    order by 2 desc, id limit %(limit)s)
    union all
    (select 'new', extract(epoch from first_seen), * from rated
    where first_seen > %(now)s - %(window)s::interval
    order by 2 desc, id limit %(limit)s)
    union all
    (select 'regressed', extract(epoch from regressed_at), * from rated
    where regressed_at > %(now)s - %(window)s::interval
    order by 2 desc, id limit %(limit)s)
    union all
    -- What an hour old has no past yet; what was as bad in another hour is no news.
    (select 'spiking', latest::double precision / greatest(events - latest, 1), * from rated
    where latest >= %(least)s and first_seen < %(now)s - interval '1 hour'
      and latest * (%(spans)s / 12) > 2 * (events - latest)
      and latest > coalesce((
          select max(events) from (
              select sum(r.count) as events from issue_rates r
              where r.issue = rated.id and r.bucket > %(last)s - %(spans)s
                and r.bucket <= %(last)s - 12
              group by (%(last)s - r.bucket) / 12
          ) hours
      ), 0)
    order by 2 desc, id limit %(limit)s)
    union all
    -- A rough bound; the exact one follows. Without an older half there is nothing to compare with.
    (select 'rising', newer - older, * from rated
    where newer > older + 1 + 2 * sqrt(older + 1)
      and first_seen <= %(now)s - %(window)s::interval * 0.75
    order by 2 desc, id limit %(limit)s)
)
select l.list, l.events, l.latest, l.newer, l.older, t.all_issues, t.all_events, i.id, i.kind,
       i.title, i.component, i.severity, i.category, i.status, i.count, i.first_seen, i.last_seen,
       i.regressed_at, i.regressions, i.first_generation, i.last_generation, i.last_host
from listed l join issues i on i.id = l.id, (
    select count(*) as all_issues, coalesce(sum(events), 0)::bigint as all_events from rated
) t
order by l.list, l.worth desc, l.id

-- name: spiking_candidates
select i.id, i.first_seen, l.latest, coalesce(p.events, 0)::bigint as events
from (
    select issue, sum(count) as latest from issue_rates
    where bucket > %(last)s - 12 group by issue having sum(count) >= %(least)s
) l join issues i on i.id = l.issue left join lateral (
    select sum(events) as events, max(events) as most from (
        select sum(count) as events from issue_rates r
        where r.issue = l.issue and bucket > %(last)s - %(spans)s and bucket <= %(last)s - 12
        group by (%(last)s - bucket) / 12
    ) hours
) p on true
where i.status in ('open', 'investigating', 'in_progress') and l.latest > coalesce(p.most, 0)

-- name: components
-- Of those with the most events, the spans in which each failed; as text, which is cheap to read.
with busiest as materialized (
    select component from issues where last_seen > %(now)s - %(window)s::interval
    group by component order by sum(count) desc, component limit %(limit)s
), theirs as materialized (
    select id, component from issues
    where component in (select component from busiest)
      and last_seen > %(now)s - %(window)s::interval
)
select component, string_agg(bucket::text, ',') as buckets from (
    select distinct t.component, r.bucket from issue_rates r join theirs t on t.id = r.issue
    where r.bucket > %(last)s - %(spans)s and r.bucket <= %(last)s
) found group by component order by component

-- name: quiet
select id, title, component, severity, last_seen, count from issues
where status in ('open', 'investigating', 'in_progress') and not pinned
  and last_seen < %(now)s - %(quiet)s::interval
order by last_seen limit %(limit)s

-- name: generations
with newest as materialized (
    select host, generation, at from issue_generations order by at desc limit %(limit)s
), brought as materialized (
    select g.host, g.generation, count(*)::integer as new
    from newest g join issues i on i.first_generation = g.generation and i.last_host = g.host
    where i.first_seen >= g.at group by g.host, g.generation
)
select g.host, g.generation, g.at, coalesce(b.new, 0) as new, around.before, around.after
from newest g left join brought b using (host, generation) cross join lateral (
    select count(*) filter (where o.at < g.at)::integer as before,
           count(*) filter (where o.at >= g.at)::integer as after
    from issue_occurrences o
    where o.host = g.host and o.at >= g.at - %(span)s::interval
      and o.at < g.at + %(span)s::interval
) around
order by g.at desc

-- name: timeline
select (%(last)s - r.bucket) / 12 as hour, i.severity, sum(r.count) as events
from issue_rates r join issues i on i.id = r.issue
where r.bucket > %(last)s - %(spans)s and r.bucket <= %(last)s
group by 1, 2

-- name: sparklines
select issue, (%(last)s - bucket) / %(step)s as step, sum(count) as events
from issue_rates
where issue = any(%(issues)s) and bucket > %(last)s - %(spans)s and bucket <= %(last)s
group by 1, 2
