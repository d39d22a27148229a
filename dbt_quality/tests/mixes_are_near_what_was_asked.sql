select training_stage as partition, category, asked, realised, short
from {{ ref('mix_ratios') }}
where asked is not null and abs(coalesce(realised_share, 0) - asked_share) > 0.02
