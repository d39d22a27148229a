select e.winner_id as sample_id, w.source as partition, e.sample_id as dropped_for_it
from {{ source('snapshot', 'duplicate_ledger') }} e
join {{ source('snapshot', 'deduped') }} w on w.sample_id = e.winner_id
where w.verdict <> 'keep'
