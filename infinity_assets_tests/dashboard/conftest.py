"""The site of the marts' tests with a snapshot of it, and the environment that the dashboard runs in."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.marts.publish import publish_quality
from infinity_assets.marts.published import Snapshot, current_snapshot
from infinity_assets.platform import Platform
from infinity_assets_tests.conftest import Site
from infinity_assets_tests.lineage.story import tell

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".envs" / "quality" / "bin" / "python"
#: A red check that the copy of the snapshot has, and where its first sample lies.
RED, PARTITION = "winners_stay", "talks"


@pytest.fixture(scope="session")
def python() -> Path:
    """Of the environment that has Streamlit."""
    if not (PYTHON.parent / "streamlit").exists():
        pytest.skip("needs the environment of the dashboard: run `make quality`")
    return PYTHON


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Three sources with copies, a hostile text, a lost picture, written samples, a mix and exports."""
    platform = tell(Site(tmp_path_factory.mktemp("shown")))
    publish_quality(platform, plainly=True)
    return platform


@pytest.fixture(scope="session")
def red(told: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home whose current snapshot has a failed check, and the sample that fails it."""
    home = tmp_path_factory.mktemp("red")
    shutil.copytree(told.settings.home / "quality", home / "quality")
    snapshot = current_snapshot(home)
    assert snapshot is not None
    sample = str(pl.read_parquet(snapshot.folder / "deduped" / f"{PARTITION}*.parquet")["sample_id"][0])
    mark_red(snapshot, sample)
    return home, sample


def mark_red(snapshot: Snapshot, sample: str) -> None:
    path = snapshot.folder / "marts" / "check_results.parquet"
    results = pl.read_parquet(path)
    hit = pl.col("name") == RED
    results.with_columns(
        passed=pl.when(hit).then(False).otherwise("passed"),
        failed_rows=pl.when(hit).then(1).otherwise("failed_rows"),
        failing_ids=pl.when(hit).then(pl.lit([sample])).otherwise("failing_ids"),
        partition=pl.when(hit).then(pl.lit(PARTITION)).otherwise("partition"),
    ).write_parquet(path)
