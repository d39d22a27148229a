-- What training may learn from: samples that filtered kept, by source, tag and type of question; of no benchmark.
with kept as (
  select t.source, t.sample_id, t.question_type, t.image_tags
  from {{ source('snapshot', 'tagged') }} t
  semi join (select sample_id from {{ source('snapshot', 'filtered') }} where verdict = 'keep') f
    on f.sample_id = t.sample_id
  anti join (select source from {{ source('snapshot', 'sources') }} where evaluation) e on e.source = t.source
)
select
  source, tag, coalesce(question_type, 'none') as question_type,
  count(*) as samples, min(sample_id) as example
from (
  select source, sample_id, question_type, unnest(image_tags) as tag from kept
  union all
  select source, sample_id, question_type, '(no tag)' from kept where len(image_tags) = 0
)
group by all
