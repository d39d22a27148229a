-- Samples by the licence of their row: read, kept by filtered, and lines in mixes.
with samples as (
  select sample_id, source, licence, verdict from {{ source('snapshot', 'unified') }}
  union all
  select sample_id, source, licence, verdict from {{ source('snapshot', 'synthesized') }}
),
lines as (select sample_id, sum(times) as times from {{ source('snapshot', 'mixed') }} group by sample_id)
select
  s.source, s.licence,
  count(*) as samples,
  count(*) filter (f.verdict = 'keep') as kept,
  coalesce(sum(l.times), 0)::bigint as lines,
  min(s.sample_id) as example
from samples s
left join {{ source('snapshot', 'filtered') }} f on f.sample_id = s.sample_id
left join lines l on l.sample_id = s.sample_id
group by s.source, s.licence
order by samples desc, s.source, s.licence
