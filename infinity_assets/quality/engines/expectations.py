"""Great Expectations as the engine: a suite for each shape of values, run over chunks of narrow rows.

It reads neither Arrow nor Lance, so a chunk becomes pandas frames of what the suites look at and nothing
else. Great Expectations copies a frame to leave rows out of it, so each has the columns of one check alone,
and a check of many columns has their values one below the other. Of texts and lists that only have to be
there, or to have a length, it sees 1 or null, and the length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infinity_assets.quality import contract as c
from infinity_assets.quality.engines import Judged, Mask
from infinity_assets.quality.engines.frames import Frames, Suite
from infinity_assets.quality.engines.loading import load
from infinity_assets.quality.engines.validation import Validation
from infinity_assets.quality.engines.values import repeats

CHUNK_ROWS = 100_000
CHUNK_VALUES = 500_000  #: of a list whose values are judged one by one


class Expectations:
    """See :class:`~infinity_assets.quality.engines.Engine`. A chunk has 100,000 rows, or 500,000 values."""

    def judge(
        self, checks: Sequence[c.RowCheck], key: str, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[Judged]:
        """All rows of the batches, in their order.

        Raises:
            AuditFailed: if Great Expectations could not evaluate an expectation.
        """
        chunk: Frames | None = None
        for batch in batches:
            chunk = chunk or Frames(suites(tuple(checks), batch.schema.remove_metadata()), key)
            chunk.add(batch)
            if chunk.count >= CHUNK_ROWS or chunk.values >= CHUNK_VALUES:
                yield self._judged(checks, chunk)
                chunk = None
        if chunk is not None:
            yield self._judged(checks, chunk)

    def repeated(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Values that occur more than once in a sorted array, each once.

        A chunk ends between two different values, so all that are equal are looked at together.
        """
        import pandas as pd

        found = [np.zeros(0, np.uint64)]
        start = 0
        while start < len(hashes):
            last = hashes[min(start + CHUNK_ROWS, len(hashes)) - 1]
            end = int(np.searchsorted(hashes, last, side="right"))
            chunk = hashes[start:end]
            (result,) = _unique().evaluate(pd.DataFrame({"hash": chunk}))
            if not result["success"]:
                found.append(repeats(chunk))
            start = end
        return np.concatenate(found)

    def _judged(self, checks: Sequence[c.RowCheck], chunk: Frames) -> Judged:
        bad: list[Mask] = [np.zeros(len(chunk.keys), dtype=np.bool_) for _ in checks]
        for number, suite in enumerate(chunk.suites):
            frame = chunk.frame(number)
            if not len(frame):
                continue
            for place, positions in _failing(frame, suite):
                bad[suite.checks[place]][chunk.rows(number, positions)] = True
        return Judged(chunk.keys, bad)


@lru_cache(maxsize=64)
def suites(checks: tuple[c.RowCheck, ...], schema: pa.Schema) -> tuple[Suite, ...]:
    """The expectations that say what the checks promise; made once for a contract.

    Args:
        checks: of a contract. A critical one gives expectations of severity ``critical``, others ``warning``.
        schema: of the batches, which tells where lists are flattened.

    Returns:
        A suite for each frame that the checks look at.
    """
    load()
    from infinity_assets.quality.engines.suites import make_suites

    return make_suites(checks, schema)


@cache
def _unique() -> Validation:
    load()
    import great_expectations.expectations as gxe

    return Validation([gxe.ExpectColumnValuesToBeUnique(column="hash")], "BOOLEAN_ONLY")


def _failing(frame: Any, suite: Suite) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Expectations that do not hold, and the rows of the frame that break them."""
    broken = [place for place, result in enumerate(suite.held.evaluate(frame)) if not result["success"]]
    if broken:
        told = Validation([suite.expectations[place] for place in broken], "COMPLETE").evaluate(frame)
        for place, result in zip(broken, told, strict=True):
            yield place, np.asarray(result["result"]["unexpected_index_list"], dtype=np.int64)
