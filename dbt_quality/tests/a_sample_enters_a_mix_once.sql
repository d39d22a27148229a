select sample_id, training_stage as partition, count(*) as times
from {{ source('snapshot', 'mixed') }} group by sample_id, training_stage having count(*) > 1
