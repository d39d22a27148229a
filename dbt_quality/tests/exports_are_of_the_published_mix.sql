select e.training_stage as partition, e.format
from {{ source('snapshot', 'exports') }} e
join {{ source('snapshot', 'partitions') }} m on m.stage = 'mixed' and m.partition = e.training_stage
where m.data_version is distinct from e.mix_version
