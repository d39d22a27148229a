"""Expectations of one kind of frame, planned once and evaluated on many frames.

``Validator.graph_validate`` makes each expectation and the graph of its metrics anew for every batch, which
takes longer than to evaluate them on a small table. The plan depends on the expectations alone and is kept.
Metrics and the verdict are Great Expectations' own. There is no data context: nothing is written or sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from infinity_assets.errors import AuditFailed
from infinity_assets.quality.engines.loading import load

#: BOOLEAN_ONLY tells whether an expectation holds; COMPLETE also names the rows that break it.
ResultFormat = Literal["BOOLEAN_ONLY", "COMPLETE"]
MAX_NAMED = 5  #: expectations that could not be evaluated, of a message
_BATCH = "frame"


class Validation:
    """What :meth:`evaluate` needs, whatever the frame.

    Args:
        expectations: of frames with the same columns.
        result_format: what a result tells.
    """

    def __init__(self, expectations: Sequence[Any], result_format: ResultFormat) -> None:
        load()
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        from infinity_assets.quality.engines.rows import RowsEngine

        self._expectations = expectations
        self._runtime = {"result_format": {"result_format": result_format}, "catch_exceptions": False}
        engine = RowsEngine()
        planner = MetricsCalculator(engine)
        #: Each metric after those that it is made of, whatever the order of Python's sets.
        self._plan: dict[Any, Any] = {}
        #: Of each expectation: its name for a metric, the metric's id.
        self._metrics: list[dict[str, Any]] = []
        for expectation in expectations:
            asked = expectation.get_validation_dependencies(engine, self._runtime)
            graph = planner.build_metric_dependency_graph(asked.get_metric_configurations(), self._runtime)
            made_of = {edge.left.id: edge.left for edge in graph.edges}
            self._metrics.append({name: one.id for name, one in asked.metric_configurations.items()})
            for metric in self._metrics[-1].values():
                self._add(metric, made_of)

    def _add(self, metric: Any, made_of: Mapping[Any, Any]) -> None:
        if metric not in self._plan:
            for part in made_of[metric].metric_dependencies.values():
                self._add(part.id, made_of)
            self._plan[metric] = made_of[metric]

    def evaluate(self, frame: Any) -> list[dict[str, Any]]:
        """The result of each expectation, in their order: ``success`` and, where asked for, ``result``.

        Args:
            frame: pandas' DataFrame, of at least one row.

        Raises:
            AuditFailed: if Great Expectations could not evaluate expectations; it names them, up to five.
        """
        from great_expectations.exceptions import MetricResolutionError
        from great_expectations.execution_engine.pandas_batch_data import PandasBatchData

        from infinity_assets.quality.engines.rows import RowsEngine

        # A batch that a data source makes is hashed, twice: 0.2 s for 200,000 rows, and nobody asks for it.
        engine = RowsEngine()
        engine.load_batch_data(_BATCH, PandasBatchData(execution_engine=engine, dataframe=frame))
        found: dict[Any, Any] = {}
        failed: dict[Any, Exception] = {}
        try:
            for name, metric in self._plan.items():
                parts = [part.id for part in metric.metric_dependencies.values()]
                if broken := [part for part in parts if part in failed]:
                    failed[name] = failed[broken[0]]
                    continue
                try:
                    found |= engine.resolve_metrics([metric], found, self._runtime)
                except MetricResolutionError as error:
                    failed[name] = error
        finally:
            # It and the engine refer to each other: rows would stay until Python looks for such rings.
            engine.batch_manager.batch_data_cache.clear()
            engine.batch_manager.reset_batch_cache()
            engine.records.clear()
        if failed:
            raise self._unable(failed)
        results = []
        for expectation, metrics in zip(self._expectations, self._metrics, strict=True):
            given = {name: found[metric] for name, metric in metrics.items()}
            # Not metrics_validate(): it asks for the metrics' names again, at 2 ms an expectation.
            results.append(expectation._validate(given, self._runtime, engine))
        return results

    def _unable(self, failed: Mapping[Any, Exception]) -> AuditFailed:
        told = []
        for expectation, metrics in zip(self._expectations, self._metrics, strict=True):
            if error := next((failed[metric] for metric in metrics.values() if metric in failed), None):
                config = expectation.configuration
                told.append(f"{config.type} of {dict(config.kwargs)}: {error}")
        more = f"; and {len(told) - MAX_NAMED} more" if len(told) > MAX_NAMED else ""
        return AuditFailed(
            "nothing was committed: Great Expectations could not evaluate"
            f" {'; '.join(told[:MAX_NAMED])}{more}. Install the version of requirements.lock, or set"
            " INFINITY_CONTRACTS=arrow"
        )
