-- What each training stage asked of a category, and what it got: lines and shares of all lines.
with per_category as (
  select training_stage, category,
    sum(asked)::bigint as asked, sum(eligible)::bigint as eligible, sum(selected)::bigint as selected,
    sum(realised)::bigint as realised, sum(short)::bigint as short, sum(tokens)::bigint as tokens
  from {{ source('snapshot', 'mix_asked') }} group by training_stage, category
)
select *,
  asked / nullif(sum(asked) over stage, 0) as asked_share,
  realised / nullif(sum(realised) over stage, 0) as realised_share
from per_category window stage as (partition by training_stage)
order by training_stage, category
