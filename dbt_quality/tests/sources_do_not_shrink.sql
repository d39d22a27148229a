with before as (
  select h.partition, max_by(h.rows, h.snapshot) as kept from {{ source('snapshot', 'history') }} h
  where h.stage = 'unified' and h.measure = 'kept' group by h.partition
)
select 'unified' as stage, b.partition, b.kept as before, coalesce(f.kept, 0) as now
from before b left join {{ ref('funnel') }} f on f.stage = 'unified' and f.partition = b.partition
where coalesce(f.kept, 0) < 0.9 * b.kept
