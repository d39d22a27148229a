{{ passed_on(
  "select u.sample_id, u.source from " ~ source('snapshot', 'unified') ~ " u join "
    ~ source('snapshot', 'partitions') ~ " p on p.stage = 'deduped' and p.partition = u.source where u.verdict = 'keep'",
  "select sample_id, source from " ~ source('snapshot', 'deduped')
) }}
