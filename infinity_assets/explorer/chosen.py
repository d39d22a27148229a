"""Samples that a check or a mix names: they are found by id, as the index knows neither."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infinity_assets.explorer.query import NOT_KEPT, Query, quoted
from infinity_assets.explorer.rows import READ
from infinity_assets.lineage.ids import IMAGE_ID, SAMPLE_ID
from infinity_assets.sources.model import TRAINING_STAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.publish import kept_checks
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.tables import Store

MOST: Final = 2_000  #: samples that a view by ids looks at


@dataclass(frozen=True, slots=True)
class Chosen:
    """Samples by id."""

    ids: tuple[str, ...]
    bounded: bool = False  #: whether there are more


def chosen(store: Store, query: Query) -> tuple[Query, Chosen | None]:
    """What a check or a mix narrows a query to.

    Returns:
        The query without what is answered by ids, and these; None where it names neither a check nor a mix.
    """
    page = query.page
    mix = query.stage == MIXED.name
    plain = query
    if mix:  # the partition of a mix is a training stage; its rows are of many sources
        source = "" if query.source in TRAINING_STAGES else query.source
        plain = query.but(stage="", verdict="", reason="", source=source, page=page)
    if query.check:
        return plain.but(check="", page=page), _first(_of_check(store, query))
    return (plain, _first(_of_mix(store, query))) if mix else (query, None)


def _first(ids: Iterator[str]) -> Chosen:
    found: dict[str, None] = {}
    for sample_id in ids:
        if len(found) == MOST:
            return Chosen(tuple(found), bounded=True)
        found[sample_id] = None
    return Chosen(tuple(found))


def _of_check(store: Store, query: Query) -> Iterator[str]:
    """Failing samples of the last run of a check of that name, in every table and partition that is meant."""
    tables = [query.stage] if query.stage else [*(spec.name for spec in READ), MIXED.name]
    for table in tables:
        names = [name.removesuffix(".json") for name in store.objects.children(f"_checks/{table}")]
        for partition in [query.source] if query.source in names else [] if query.source else names:
            last = kept_checks(store, table, partition)[-1:]
            for check in (c for run in last for c in run["checks"] if c["name"] == query.check):
                yield from _samples(store, partition, check["failing_ids"])


def _samples(store: Store, partition: str, row_ids: list[str]) -> Iterator[str]:
    """The samples that rows of any table are about: themselves, or those that show a picture."""
    pictures = []
    for row_id in row_ids:
        if IMAGE_ID.fullmatch(row_id):
            pictures.append(quoted(row_id))
        # An edge of the ledger is <kind>:<sample>:<winner>; any other id names itself.
        yield from (part for part in row_id.split(":") if SAMPLE_ID.fullmatch(part))
    unified = store.published(UNIFIED, partition) if pictures else None
    if unified is not None:
        where = f"array_has_any(image_ids, [{', '.join(pictures)}])"
        yield from unified.dataset().scanner(["sample_id"], where, MOST).to_table().column(0).to_pylist()


def _of_mix(store: Store, query: Query) -> Iterator[str]:
    """Samples that plans decided so about."""
    tests = [f"reason = {quoted(query.reason)}"] if query.reason else []
    if query.verdict:
        same = "<>" if query.verdict == NOT_KEPT else "="
        tests.append(f"verdict {same} {quoted(KEEP if query.verdict == NOT_KEPT else query.verdict)}")
    stages = [query.source] if query.source in TRAINING_STAGES else list(TRAINING_STAGES)
    if query.source and query.source not in TRAINING_STAGES:
        tests.append(f"source = {quoted(query.source)}")
    for stage in stages:
        mixed = store.published(MIXED, stage)
        if mixed is not None:
            scanner = mixed.dataset().scanner(["sample_id"], " AND ".join(tests) or None, MOST + 1)
            yield from scanner.to_table().column(0).to_pylist()
