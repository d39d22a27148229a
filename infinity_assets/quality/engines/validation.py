"""Expectations of one kind of frame, planned once and evaluated on many frames.

``Validator.graph_validate`` makes each expectation and the graph of its metrics anew for every batch, which
takes longer than to evaluate them on a small table. The plan depends on the expectations alone and is kept.
Metrics, their order and the verdict are Great Expectations' own. There is no data context: nothing is written
or sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from infinity_assets.errors import AuditFailed
from infinity_assets.quality.engines.loading import load

#: BOOLEAN_ONLY tells whether an expectation holds; COMPLETE also names the rows that break it.
ResultFormat = Literal["BOOLEAN_ONLY", "COMPLETE"]
_BATCH = "frame"


class Validation:
    """What :meth:`evaluate` needs, whatever the frame.

    Args:
        expectations: of frames with the same columns.
        result_format: what a result tells.
    """

    def __init__(self, expectations: Sequence[Any], result_format: ResultFormat) -> None:
        load()
        from great_expectations.execution_engine import PandasExecutionEngine
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        self._expectations = expectations
        self._runtime = {"result_format": {"result_format": result_format}, "catch_exceptions": False}
        engine = PandasExecutionEngine(caching=False)
        planner = MetricsCalculator(engine)
        self._edges: list[Any] = []
        #: Of each expectation: its name for a metric, the metric's id.
        self._metrics: list[dict[str, Any]] = []
        for expectation in expectations:
            asked = expectation.get_validation_dependencies(engine, self._runtime)
            graph = planner.build_metric_dependency_graph(asked.get_metric_configurations(), self._runtime)
            self._edges += graph.edges
            self._metrics.append({name: one.id for name, one in asked.metric_configurations.items()})

    def evaluate(self, frame: Any) -> list[dict[str, Any]]:
        """The result of each expectation, in their order: ``success`` and, where asked for, ``result``.

        Args:
            frame: pandas' DataFrame, of at least one row.

        Raises:
            AuditFailed: if Great Expectations could not evaluate an expectation.
        """
        from great_expectations.exceptions import MetricResolutionError
        from great_expectations.execution_engine import PandasExecutionEngine
        from great_expectations.execution_engine.pandas_batch_data import PandasBatchData
        from great_expectations.validator.validation_graph import ValidationGraph

        # A batch that a data source makes is hashed, twice: 0.2 s for 200,000 rows, and nobody asks for it.
        engine = PandasExecutionEngine(caching=False)
        engine.load_batch_data(_BATCH, PandasBatchData(execution_engine=engine, dataframe=frame))
        graph = ValidationGraph(engine, list(self._edges))
        try:
            found, _ = graph.resolve(self._runtime, show_progress_bars=False)
        except MetricResolutionError as error:
            raise self._unable({metric.id for metric in error.failed_metrics}, error) from error
        finally:
            # It and the engine refer to each other: rows would stay until Python looks for such rings.
            engine.batch_manager.batch_data_cache.clear()
            engine.batch_manager.reset_batch_cache()
        results = []
        for expectation, metrics in zip(self._expectations, self._metrics, strict=True):
            given = {name: found[metric] for name, metric in metrics.items()}
            # Not metrics_validate(): it asks for the metrics' names again, at 2 ms an expectation.
            results.append(expectation._validate(given, self._runtime, engine))
        return results

    def _unable(self, failed: set[Any], error: Exception) -> AuditFailed:
        below = {(edge.left.id, edge.right.id) for edge in self._edges if edge.right is not None}
        while more := {upper for upper, lower in below if lower in failed} - failed:
            failed = failed | more
        for expectation, metrics in zip(self._expectations, self._metrics, strict=True):
            if failed & set(metrics.values()):
                config = expectation.configuration
                return AuditFailed(
                    f"nothing was committed: Great Expectations could not evaluate {config.type} of"
                    f" {dict(config.kwargs)}: {error}. Install the version of requirements.lock, or set"
                    " INFINITY_CONTRACTS=arrow"
                )
        return AuditFailed(f"nothing was committed: Great Expectations failed: {error}")
