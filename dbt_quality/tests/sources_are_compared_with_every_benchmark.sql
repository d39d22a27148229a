select c.source as partition, c.benchmark
from {{ source('snapshot', 'compared') }} c
join {{ source('snapshot', 'partitions') }} p on p.stage = 'filtered' and p.partition = c.source
where not c.up_to_date
