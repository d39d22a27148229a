"""Great Expectations as the engine: a suite for each shape of values, run over chunks of narrow rows.

It reads neither Arrow nor Lance, so a chunk becomes pandas frames of what the suites look at and nothing
else: one frame whose rows are the table's, and one for each list whose values are judged one by one. Of texts
and lists that only have to be there, or to have a length, it sees 1 or null, and the length.

The context is ephemeral: nothing is written, nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infinity_assets.errors import AuditFailed
from infinity_assets.quality import contract as c
from infinity_assets.quality.engines import Judged, Mask
from infinity_assets.quality.engines.frames import ROWS, Frames, Suite
from infinity_assets.quality.engines.values import repeats

CHUNK_ROWS = 200_000
CHUNK_VALUES = 500_000  #: of a list whose values are judged one by one


class Expectations:
    """See :class:`~infinity_assets.quality.engines.Engine`. A chunk has 200,000 rows, or 500,000 values."""

    def judge(
        self, checks: Sequence[c.RowCheck], key: str, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[Judged]:
        """All rows of the batches, in their order.

        Raises:
            AuditFailed: if Great Expectations could not evaluate an expectation.
        """
        found: Mapping[str, Suite] | None = None
        chunk: Frames | None = None
        for batch in batches:
            if found is None:
                found = suites(checks, batch.schema)
            chunk = chunk or Frames(found, key)
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
        import great_expectations.expectations as gxe
        import pandas as pd

        unique = [gxe.ExpectColumnValuesToBeUnique(column="hash")]
        found = [np.zeros(0, np.uint64)]
        start = 0
        while start < len(hashes):
            last = hashes[min(start + CHUNK_ROWS, len(hashes)) - 1]
            end = int(np.searchsorted(hashes, last, side="right"))
            chunk = hashes[start:end]
            (result,) = _validate(pd.DataFrame({"hash": chunk}), unique, "BOOLEAN_ONLY")
            if not result.success:
                found.append(repeats(chunk))
            start = end
        return np.concatenate(found)

    def _judged(self, checks: Sequence[c.RowCheck], chunk: Frames) -> Judged:
        bad: list[Mask] = [np.zeros(len(chunk.keys), dtype=np.bool_) for _ in checks]
        for name, suite in chunk.suites.items():
            frame = chunk.frame(name)
            if not len(frame):
                continue
            for place, positions in _failing(frame, suite.expectations):
                at = suite.checks[place]
                bad[at][positions if name == ROWS else chunk.rows(name)[positions]] = True
        return Judged(chunk.keys, bad)


def suites(checks: Sequence[c.RowCheck], schema: pa.Schema) -> dict[str, Suite]:
    """The expectations that say what the checks promise.

    Args:
        checks: of a contract. A critical one gives expectations of severity ``critical``, others ``warning``.
        schema: of the batches, which tells where lists are flattened.

    Returns:
        A suite for the rows (``ROWS``) and one for each flattened list, by its path.
    """
    from infinity_assets.quality.engines.suites import SuiteMaker

    maker = SuiteMaker(schema)
    # A check of values comes before one that asks whether there are any, so that they share a column.
    last = {c.RequiredWhen: 1, c.NotNull: 2}
    for i in sorted(range(len(checks)), key=lambda i: last.get(type(checks[i]), 0)):
        maker.add(i, checks[i])
    return maker.suites


def _failing(frame: Any, expectations: Sequence[Any]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Expectations that do not hold, and the rows of the frame that break them."""
    held = _validate(frame, expectations, "BOOLEAN_ONLY")
    broken = [place for place, result in enumerate(held) if not result.success]
    if broken:
        told = _validate(frame, [expectations[place] for place in broken], "COMPLETE")
        for place, result in zip(broken, told, strict=True):
            yield place, np.asarray(result.result["unexpected_index_list"], dtype=np.int64)


def _validate(frame: Any, expectations: Sequence[Any], result_format: str) -> list[Any]:
    """The result of each expectation, in their order."""
    from great_expectations.core.batch import Batch
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.execution_engine.pandas_batch_data import PandasBatchData
    from great_expectations.validator.validator import Validator

    # A batch that a data source makes is hashed, twice: 0.2 s for 200,000 rows, and nobody asks for it.
    engine = PandasExecutionEngine(caching=False)
    batch = Batch(data=PandasBatchData(execution_engine=engine, dataframe=frame))
    validator = Validator(execution_engine=engine, data_context=_context(), batches=[batch])
    results = validator.graph_validate(
        configurations=[expectation.configuration for expectation in expectations],
        runtime_configuration={"result_format": {"result_format": result_format}},
    )
    # It and the engine refer to each other: rows would stay until Python looks for such rings.
    engine.batch_manager.batch_data_cache.clear()
    engine.batch_manager.reset_batch_cache()
    for result in results:
        info = result.exception_info or {}
        raised = [info] if "raised_exception" in info else list(info.values())
        for one in raised:
            if one["raised_exception"]:
                config = result.expectation_config
                raise AuditFailed(
                    f"nothing was committed: Great Expectations could not evaluate {config.type} of"
                    f" {dict(config.kwargs)}: {one['exception_message']}. Install the version of"
                    " requirements.lock, or set INFINITY_CONTRACTS=arrow"
                )
    return list(results)


@cache
def _context() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    return context
