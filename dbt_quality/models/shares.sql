-- Shares that should not jump: of reasons at each stage, of languages and of types of questions.
select stage, partition, 'reason' as measure, reason as code, rows::bigint as rows, share::double as share
from {{ ref('drop_reasons') }}
union all
select stage, partition, 'kept', 'keep', kept, kept_share::double from {{ ref('funnel') }} where rows > 0
union all
select 'unified', source, 'language', coalesce(language, 'none'), count(*),
  (count(*) / sum(count(*)) over (partition by source))::double
from {{ source('snapshot', 'unified') }} where verdict = 'keep' group by source, language
union all
select 'tagged', source, 'question_type', coalesce(question_type, 'none'), count(*),
  (count(*) / sum(count(*)) over (partition by source))::double
from {{ source('snapshot', 'tagged') }} group by source, question_type
