"""Where the demo lives: its sources are drawn once under the home folder, everything else is a plain run."""

from __future__ import annotations

import shutil
from pathlib import Path

from infinity_assets.demo.defects import DemoTruth
from infinity_assets.demo.render import render_demo
from infinity_assets.settings import Settings

SEED = 7


def prepare_demo(home: Path) -> DemoTruth:
    """Draw the demo's sources under ``<home>/sources``, unless a whole drawing is there already."""
    folder = home / "sources"
    truth = folder / "truth.json"  # written last
    if truth.exists():
        return DemoTruth.read(truth)
    if folder.exists():
        shutil.rmtree(folder)
    home.mkdir(parents=True, exist_ok=True)
    return render_demo(folder, SEED)


def demo_settings(home: Path, workers: int) -> Settings:
    """The deployment that the demo is."""
    sources = home / "sources"
    return Settings(
        home=home,
        catalogue=sources / "catalogue",
        mixes=sources / "mixes" / "demo.yaml",
        workers=workers,
        contracts="arrow",  # 160 small tables: Great Expectations would take longer than all stages together
    )
