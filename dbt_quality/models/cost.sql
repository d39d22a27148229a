-- What models were asked and paid for, for each question or sample that was kept. Rules cost nothing.
select
  source, 'synthesis_qa' as stage, engine, coalesce(model, engine) as model,
  count(*) as rows, count(*) filter (verdict = 'keep') as kept,
  sum(prompt_tokens)::bigint as prompt_tokens, sum(completion_tokens)::bigint as completion_tokens,
  sum(cost) as cost, sum(cost) / nullif(count(*) filter (verdict = 'keep'), 0) as cost_per_kept
from {{ source('snapshot', 'synthesis_qa') }} group by source, engine, model
union all
select
  source, 'scored', 'scorer', model, count(*), count(loss), sum(prompt_tokens)::bigint,
  sum(completion_tokens)::bigint, null, null
from {{ source('snapshot', 'scored') }} where model is not null group by source, model
order by source, stage, model
