select e.sample_id, e.source as partition, e.winner_id, e.kind
from {{ source('snapshot', 'duplicate_ledger') }} e
join {{ source('snapshot', 'deduped') }} d on d.sample_id = e.sample_id
where d.verdict = 'keep'
