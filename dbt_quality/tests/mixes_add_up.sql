with planned as (
  select training_stage, source, sum(times) as lines from {{ source('snapshot', 'mixed') }} group by all
),
told as (
  select training_stage, source, sum(realised) as lines from {{ source('snapshot', 'mix_asked') }}
  where source is not null group by all
)
select coalesce(p.training_stage, t.training_stage) as partition, coalesce(p.source, t.source) as source,
  p.lines as planned, t.lines as told
from planned p full outer join told t on p.training_stage = t.training_stage and p.source = t.source
where coalesce(p.lines, 0) <> coalesce(t.lines, 0)
