select m.sample_id, m.training_stage as partition, c.benchmark, c.kind
from {{ source('snapshot', 'mixed') }} m
join {{ source('snapshot', 'contamination') }} c on c.sample_id = m.sample_id
join {{ source('snapshot', 'kinds') }} k on k.kind = c.kind and k.drops
where m.times > 0
union all
select m.sample_id, m.training_stage, m.source, 'evaluation source'
from {{ source('snapshot', 'mixed') }} m join {{ source('snapshot', 'sources') }} s on s.source = m.source
where s.evaluation and m.times > 0
