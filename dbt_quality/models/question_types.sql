-- Samples that filtered kept, by source and type of question: the grid of coverage without tags.
select t.source, coalesce(t.question_type, 'none') as question_type, count(*) as samples, min(t.sample_id) as example
from {{ source('snapshot', 'tagged') }} t
semi join (select sample_id from {{ source('snapshot', 'filtered') }} where verdict = 'keep') f
  on f.sample_id = t.sample_id
anti join (select source from {{ source('snapshot', 'sources') }} where evaluation) e on e.source = t.source
group by all
