select sample_id, source as partition, loss from {{ source('snapshot', 'scored') }}
where loss <= 0 or isnan(loss)
