-- How far each share moved since the last snapshot that has its stage and partition; a code that is new or gone
-- counts from or to nothing.
with last as (
  select stage, partition, max(snapshot) as snapshot, count(distinct snapshot) as snapshots
  from {{ source('snapshot', 'history') }} group by stage, partition
),
before as (
  select h.* from {{ source('snapshot', 'history') }} h join last using (stage, partition, snapshot)
),
now as (select * from {{ ref('shares') }} semi join last using (stage, partition)),
rows as (select stage, partition, rows from {{ ref('funnel') }})
select
  stage, partition, measure, code, coalesce(b.share, 0) as before, coalesce(n.share, 0) as now,
  coalesce(n.share, 0) - coalesce(b.share, 0) as moved,
  last.snapshot as since, coalesce(rows.rows, 0) as stage_rows
from now n full outer join before b using (stage, partition, measure, code)
join last using (stage, partition)
left join rows using (stage, partition)
order by abs(moved) desc, stage, partition, measure, code
