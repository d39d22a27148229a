"""One small site with its stories, published once, and a snapshot of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infinity_assets.marts.dbt import find_dbt
from infinity_assets.marts.narrow import NARROW
from infinity_assets.marts.publish import Quality, publish_quality
from infinity_assets.platform import Platform
from infinity_assets_tests.conftest import Site
from infinity_assets_tests.lineage.story import tell


@pytest.fixture(scope="session")
def dbt() -> Path:
    found = find_dbt(None)
    if found is None:
        pytest.skip("there is no dbt: run `make quality`")
    return found


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Three sources with copies, a hostile text, a lost picture, written samples, a mix and exports."""
    return tell(Site(tmp_path_factory.mktemp("story")))


@pytest.fixture(scope="session")
def published(told: Platform, dbt: Path) -> Quality:
    return publish_quality(told)


@pytest.fixture
def broken(published: Quality, tmp_path: Path) -> Path:
    """A copy of the snapshot as it was before dbt ran, to break."""
    for name in [*NARROW, *(p.name for p in published.snapshot.folder.iterdir() if p.is_dir())]:
        if name != "marts":
            shutil.copytree(published.snapshot.folder / name, tmp_path / name, dirs_exist_ok=True)
    return tmp_path
