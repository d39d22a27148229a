select sample_id, min(source) as partition, count(*) as times
from (
  select sample_id, source from {{ source('snapshot', 'unified') }}
  union all
  select sample_id, source from {{ source('snapshot', 'synthesized') }}
)
group by sample_id having count(*) > 1
