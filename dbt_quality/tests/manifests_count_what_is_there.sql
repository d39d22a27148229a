select p.stage, p.partition, p.rows as told, f.rows as counted
from {{ source('snapshot', 'partitions') }} p join {{ ref('funnel') }} f using (stage, partition)
where p.rows <> f.rows or p.kept <> f.kept or p.dropped <> f.dropped or p.quarantined <> f.quarantined
