-- Why rows were not kept, with their share of the stage's rows.
select f.stage, f.place, c.partition, c.verdict, c.reason, c.rows, c.rows / f.rows as share
from {{ ref('row_counts') }} c
join {{ ref('funnel') }} f on f.stage = c.stage and f.partition = c.partition
where c.reason is not null
order by f.place, c.partition, c.rows desc, c.reason
