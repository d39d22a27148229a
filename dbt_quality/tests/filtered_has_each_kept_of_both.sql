{{ passed_on(
  "select t.sample_id, t.source from (select sample_id, source, verdict from " ~ source('snapshot', 'tagged')
    ~ " union all select sample_id, source, verdict from " ~ source('snapshot', 'synthesized') ~ ") t join "
    ~ source('snapshot', 'partitions') ~ " p on p.stage = 'filtered' and p.partition = t.source where t.verdict = 'keep'",
  "select sample_id, source from " ~ source('snapshot', 'filtered')
) }}
