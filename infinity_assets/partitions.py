"""How assets are cut: by source up to the filters, by training stage from the mix on; benchmarks by name.

Static keys, read when the code location loads (a new source is a YAML file and a reload): dynamic keys would
have to be made again in every fresh instance.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from infinity_assets.sources.model import TRAINING_STAGES


def source_partitions(names: Iterable[str]) -> dg.StaticPartitionsDefinition:
    """One key for each source, in alphabetical order."""
    return dg.StaticPartitionsDefinition(sorted(names))


def benchmark_partitions(names: Iterable[str]) -> dg.StaticPartitionsDefinition:
    """One key for each benchmark: a source for evaluation, under its own name. There may be none."""
    return dg.StaticPartitionsDefinition(sorted(names))


def training_stage_partitions() -> dg.StaticPartitionsDefinition:
    """One key for each training stage, in the order of training."""
    return dg.StaticPartitionsDefinition(list(TRAINING_STAGES))
