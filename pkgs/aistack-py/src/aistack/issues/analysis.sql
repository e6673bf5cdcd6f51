-- name: rates
-- Each issue seen in the window, and of all of them those that are worth a line in a list.
with hours as (
    select issue, floor(extract(epoch from %(now)s - bucket) / 3600)::integer as hour,
           sum(count)::bigint as events
    from issue_rates where bucket > %(now)s - %(window)s::interval and bucket <= %(now)s
    group by 1, 2
), rated as materialized (
    select i.id, i.kind, i.title, i.component, i.severity, i.category, i.status, i.count,
           i.first_seen, i.last_seen, i.regressed_at, i.regressions, i.first_generation,
           i.last_generation, i.last_host, h.events, h.latest, h.most, h.newer,
           h.events - h.newer as older
    from (
        select issue, sum(events)::bigint as events,
               coalesce(sum(events) filter (where hour = 0), 0)::bigint as latest,
               coalesce(max(events) filter (where hour > 0), 0)::bigint as most,
               coalesce(sum(events) filter (where hour < %(half)s), 0)::bigint as newer
        from hours group by 1
    ) h join issues i on i.id = h.issue
), totals as (
    select count(*) as all_issues, coalesce(sum(events), 0)::bigint as all_events from rated
)
select 'top' as list, * from (select * from rated order by events desc, id limit %(limit)s) r, totals
union all
select 'new', * from (
    select * from rated where first_seen > %(now)s - %(window)s::interval
    order by first_seen desc, id limit %(limit)s
) r, totals
union all
select 'regressed', * from (
    select * from rated where regressed_at > %(now)s - %(window)s::interval
    order by regressed_at desc, id limit %(limit)s
) r, totals
union all
-- What an hour old has no past yet.
select 'spiking', * from (
    select * from rated
    where latest >= %(least)s and latest > most and first_seen < %(now)s - interval '1 hour'
    order by latest::double precision / greatest(events - latest, 1) desc, id limit %(limit)s
) r, totals
union all
-- A rough bound; the exact one follows. Without an older half there is nothing to compare with.
select 'rising', * from (
    select * from rated
    where newer > older + 1 + 2 * sqrt(older + 1)
      and first_seen <= %(now)s - %(window)s::interval * 0.75
    order by newer - older desc, id limit %(limit)s
) r, totals

-- name: spiking_candidates
with latest as (
    select issue, sum(count)::bigint as latest from issue_rates
    where bucket > %(now)s - interval '1 hour' group by 1 having sum(count) >= %(least)s
)
select i.id, i.first_seen, l.latest, coalesce(p.events, 0)::bigint as events,
       coalesce(p.most, 0)::bigint as most
from latest l join issues i on i.id = l.issue left join lateral (
    select sum(events) as events, max(events) as most from (
        select sum(count) as events from issue_rates r
        where r.issue = l.issue and bucket > %(now)s - %(window)s::interval
          and bucket <= %(now)s - interval '1 hour'
        group by floor(extract(epoch from %(now)s - bucket) / 3600)
    ) hours
) p on true
where i.status in ('open', 'investigating', 'in_progress')

-- name: components
with found as (
    select distinct i.component, r.bucket from issue_rates r join issues i on i.id = r.issue
    where r.bucket > %(now)s - %(window)s::interval and r.bucket <= %(now)s
)
select component, array_agg(extract(epoch from bucket)::bigint) as buckets
from found group by component order by count(*) desc, component limit %(limit)s

-- name: quiet
select id, title, component, severity, last_seen, count from issues
where status in ('open', 'investigating', 'in_progress') and not pinned
  and last_seen < %(now)s - %(quiet)s::interval
order by last_seen limit %(limit)s

-- name: generations
select g.host, g.generation, g.at,
       lead(g.at) over (partition by g.host order by g.at) as until,
       (select count(*) from issues i
        where i.first_generation = g.generation and i.last_host = g.host
          and i.first_seen >= g.at)::integer as new
from issue_generations g
order by g.at desc limit %(limit)s

-- name: around
select count(*) filter (where o.at < %(at)s)::integer as before,
       count(*) filter (where o.at >= %(at)s)::integer as after
from issue_occurrences o
where o.host = %(host)s and o.at >= %(at)s - %(span)s::interval and o.at < %(at)s + %(span)s::interval

-- name: timeline
select floor(extract(epoch from %(now)s - r.bucket) / 3600)::integer as hour, i.severity,
       sum(r.count)::bigint as events
from issue_rates r join issues i on i.id = r.issue
where r.bucket > %(now)s - %(window)s::interval and r.bucket <= %(now)s
group by 1, 2

-- name: sparklines
select issue, floor(extract(epoch from %(now)s - bucket) / %(step)s)::integer as step,
       sum(count)::bigint as events
from issue_rates
where issue = any(%(issues)s) and bucket > %(now)s - %(window)s::interval and bucket <= %(now)s
group by 1, 2
