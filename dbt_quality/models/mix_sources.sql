-- What each training stage took of a source, beside what it asked: lines and shares of all lines.
with per_source as (
  select training_stage, category, source,
    sum(asked)::bigint as asked, sum(eligible)::bigint as eligible, sum(selected)::bigint as selected,
    sum(realised)::bigint as realised, sum(short)::bigint as short, sum(tokens)::bigint as tokens
  from {{ source('snapshot', 'mix_asked') }} where source is not null group by training_stage, category, source
)
select *,
  asked / nullif(sum(asked) over stage, 0) as asked_share,
  realised / nullif(sum(realised) over stage, 0) as realised_share
from per_source window stage as (partition by training_stage)
order by training_stage, category, source
