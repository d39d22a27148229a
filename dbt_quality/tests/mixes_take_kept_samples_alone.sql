select m.sample_id, m.training_stage as partition
from {{ source('snapshot', 'mixed') }} m
anti join (select sample_id from {{ source('snapshot', 'filtered') }} where verdict = 'keep') f
  on f.sample_id = m.sample_id
