{{ passed_on(
  "select d.sample_id, d.source from " ~ source('snapshot', 'deduped') ~ " d join "
    ~ source('snapshot', 'partitions') ~ " p on p.stage = 'tagged' and p.partition = d.source where d.verdict = 'keep'",
  "select sample_id, source from " ~ source('snapshot', 'tagged')
) }}
