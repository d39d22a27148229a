-- What became of the rows of each stage and partition: counted in the snapshot, received as the manifest says.
select
  p.stage, s.place, p.partition, p.rows_in,
  coalesce(sum(c.rows), 0)::bigint as rows,
  coalesce(sum(c.rows) filter (c.verdict = 'keep'), 0)::bigint as kept,
  coalesce(sum(c.rows) filter (c.verdict = 'drop'), 0)::bigint as dropped,
  coalesce(sum(c.rows) filter (c.verdict = 'quarantine'), 0)::bigint as quarantined,
  coalesce(sum(c.rows) filter (c.verdict = 'keep'), 0) / nullif(sum(c.rows), 0) as kept_share
from {{ source('snapshot', 'partitions') }} p
join {{ stages() }} using (stage)
left join {{ ref('row_counts') }} c on c.stage = p.stage and c.partition = p.partition
where p.stage not in ('duplicate_ledger', 'contamination')
group by p.stage, s.place, p.partition, p.rows_in
order by s.place, p.partition
