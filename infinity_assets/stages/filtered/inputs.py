"""Whether a source's verdicts were made from what is published now."""

from __future__ import annotations

from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.filtered.contamination.check import to_compare
from infinity_assets.stages.filtered.schema import FILTERED


def behind(platform: Platform, source: str) -> str | None:
    """What to call the run that a source needs, or None where its verdicts fit what is published.

    A source that was never deduplicated needs none: its first run is a person's decision.
    """
    ledger = platform.store.published(DUPLICATE_LEDGER, source)
    deduped = platform.store.published(DEDUPED, source)
    if ledger is None or deduped is None:
        return None
    told = str(ledger.notes["decisions"])  # edges that drop nothing may come and go
    if deduped.inputs.get(DUPLICATE_LEDGER.name) == told:
        return _uncompared(platform, source)
    return f"{source}/{told}/{deduped.version}"


def _uncompared(platform: Platform, source: str) -> str | None:
    """What to call the run of a source that was compared with other benchmarks than the published ones."""
    filtered = platform.store.published(FILTERED, source)
    missing = to_compare(platform, source) if filtered is not None else None
    return None if missing is None else f"{source}/benchmarks/{missing}"
