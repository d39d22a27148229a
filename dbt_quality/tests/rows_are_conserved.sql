select stage, partition, rows_in, kept, dropped, quarantined
from {{ ref('funnel') }}
where rows_in <> kept + dropped + quarantined
