"""Which tables say something about single samples."""

from __future__ import annotations

from typing import Final

from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.store.shards import TableSpec

#: Tables after ``unified`` whose shards lie as those of ``unified`` do, in pipeline order.
READ_ON: Final[tuple[TableSpec, ...]] = (DEDUPED, TAGGED, SCORED, FILTERED)
#: The same for conversations of ``synthesized``, which are neither compared nor tagged.
WRITTEN_ON: Final[tuple[TableSpec, ...]] = (SCORED, FILTERED)
