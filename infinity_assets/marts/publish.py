"""A whole snapshot: Parquet, marts, tests and page, published in one step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.marts.dbt import build_marts, find_dbt, project_hash
from infinity_assets.marts.page import write_page
from infinity_assets.marts.published import Snapshot, current_snapshot
from infinity_assets.marts.snapshot import publish_snapshot
from infinity_assets.platform import Platform


@dataclass(frozen=True, slots=True)
class Quality:
    """A published snapshot and what dbt's tests found in it."""

    snapshot: Snapshot
    tests: tuple[dict[str, Any], ...]  #: a row of the table ``checks`` for each test

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Tests that failed, those that only ask for a look among them."""
        return [test for test in self.tests if not test["passed"]]


def publish_quality(platform: Platform, plainly: bool = False) -> Quality:
    """Publish a snapshot with its marts and its page; the current one, where nothing changed since.

    Failed tests are results, not errors: the snapshot that shows them is published.

    Args:
        platform: settings, store, catalogue and policy.
        plainly: without dbt even where there is one, which takes seconds to start; the marts are the same.

    Raises:
        CatalogueError: if the settings name a dbt that is no program.
        StoreError: if a model or a test did not run, or another process is publishing.
    """
    settings = platform.settings
    dbt = None if plainly else find_dbt(settings.dbt)
    before = current_snapshot(settings.home)

    def finish(folder: Path, number: int) -> None:
        build_marts(dbt, folder, number, settings.workers)
        write_page(folder, number, settings.preview_url, before.folder if before else None)

    snapshot = publish_snapshot(platform, finish, f"{project_hash()} {settings.preview_url}")
    results = pl.read_parquet(snapshot.folder / "marts" / "check_results.parquet")
    of_this = (pl.col("engine") == "dbt") & (pl.col("number") == snapshot.number)
    return Quality(snapshot, tuple(results.filter(of_this).to_dicts()))
