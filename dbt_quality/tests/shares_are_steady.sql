select stage, partition, measure, code, moved from {{ ref('drift') }}
where abs(moved) > 0.05 and stage_rows >= 100
