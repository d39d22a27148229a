-- How each measure is spread, kept against not kept: rows by the lower edge of a bin, a quarter of an octave wide
-- (2 ** (n / 4)), so that one rule serves shares, tokens and pixels. Bins of all sources add up.
with measured as (
  select source, verdict, unnest(measures, recursive := true) from {{ source('snapshot', 'filtered') }}
  union all
  select f.source, f.verdict, unnest([
    {'measure': 'loss', 'value': s.loss},
    {'measure': 'formatting', 'value': s.formatting::float}, {'measure': 'relevance', 'value': s.relevance::float},
    {'measure': 'visual_dependency', 'value': s.visual_dependency::float},
    {'measure': 'image_correspondence', 'value': s.image_correspondence::float}
  ], recursive := true)
  from {{ source('snapshot', 'scored') }} s join {{ source('snapshot', 'filtered') }} f on f.sample_id = s.sample_id
)
select
  source, measure, {{ bin_of('"value"') }} as low,
  count(*) filter (verdict = 'keep') as kept, count(*) filter (verdict <> 'keep') as dropped
from measured where "value" is not null and not isnan("value")
group by all
order by source, measure, low
