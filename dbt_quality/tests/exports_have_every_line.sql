with planned as (
  select training_stage, sum(times) as lines from {{ source('snapshot', 'mixed') }} group by training_stage
)
select e.training_stage as partition, e.format, e.lines, p.lines as planned
from {{ source('snapshot', 'exports') }} e
join {{ source('snapshot', 'partitions') }} m
  on m.stage = 'mixed' and m.partition = e.training_stage and m.data_version = e.mix_version
left join planned p using (training_stage)
where e.lines <> coalesce(p.lines, 0)
