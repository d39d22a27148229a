-- What sources hold of benchmarks, and how much of it is still planned.
with planned as (
  select sample_id, count(*) as stages from {{ source('snapshot', 'mixed') }} where times > 0 group by sample_id
)
select
  c.benchmark, c.source, k.kind, k.drops, c.items, c.samples, c.up_to_date,
  count(h.sample_id) as found,
  count(distinct h.item_id) as found_items,
  count(p.sample_id) as planned,
  min(h.sample_id) as example
from {{ source('snapshot', 'compared') }} c
cross join {{ source('snapshot', 'kinds') }} k
left join {{ source('snapshot', 'contamination') }} h
  on h.benchmark = c.benchmark and h.source = c.source and h.kind = k.kind
left join planned p on p.sample_id = h.sample_id
group by all
order by c.benchmark, c.source, k.kind
