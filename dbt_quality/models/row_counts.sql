-- Rows of every table as they lie in the snapshot, by verdict and reason.
{% set with_verdict = ['images', 'unified', 'deduped', 'tagged', 'synthesis_qa', 'synthesized', 'filtered'] %}
{% for stage in with_verdict %}
select '{{ stage }}' as stage, source as partition, verdict, reason, count(*) as rows
from {{ source('snapshot', stage) }} group by all
union all
{% endfor %}
select 'mixed', training_stage, verdict, reason, count(*) from {{ source('snapshot', 'mixed') }} group by all
union all
select 'raw', source, case when error is null then 'keep' else 'quarantine' end, null, count(*)
from {{ source('snapshot', 'raw') }} group by all
union all
select 'scored', source, 'keep', null, count(*) from {{ source('snapshot', 'scored') }} group by all
