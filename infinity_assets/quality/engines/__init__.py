"""Engines that judge rows against a contract: they give equal verdicts. Each is loaded when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infinity_assets.quality.contract import RowCheck

EngineName = Literal["great_expectations", "arrow"]
Mask = npt.NDArray[np.bool_]


class Judged(NamedTuple):
    """A chunk of rows, looked at."""

    keys: pa.Array  #: of its rows, in table order
    bad: Sequence[Mask]  #: for each check, the rows that break it


class Engine(Protocol):
    """What can judge rows. Chunks are bounded, so memory does not grow with the table."""

    def judge(
        self, checks: Sequence[RowCheck], key: str, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[Judged]:
        """All rows of the batches, in their order, in chunks of the engine's own size."""
        ...

    def repeated(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Values that occur more than once in a sorted array, each once."""
        ...


def open_engine(name: EngineName) -> Engine:
    """The engine of that name; Great Expectations takes a third of a second to load, when it first judges."""
    if name == "great_expectations":
        from infinity_assets.quality.engines.expectations import Expectations

        return Expectations()
    from infinity_assets.quality.engines.arrow import Arrow

    return Arrow()
