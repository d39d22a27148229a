"""Data-Juicer 1.6 as a peer: its environment under ``.envs``, and one run of some operators on pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks._common import REPOSITORY, Spent, install_peer, spend

HOME = REPOSITORY / ".envs" / "data-juicer"

#: aiohttp: Data-Juicer imports it and does not ask for it. The deduplicator imports imagededup, which imports
#: torch and torchvision for a method that is not used here; torchvision's wheels want CUDA, so a stand-in of
#: nothing is given instead, which spares the peer an import.
PACKAGES = (
    "py-data-juicer==1.6.1",
    "aiohttp",
    "torch==2.13.0",
    "scikit-learn",
    "PyWavelets",
    "matplotlib",
)
PACKAGES_ALONE = ("imagededup==0.3.3.post2",)
TORCHVISION = """\
import sys
from unittest.mock import MagicMock

for name in ("models", "models.vision_transformer", "transforms"):
    sys.modules[f"torchvision.{name}"] = MagicMock()
"""
LIMIT_S = 480

#: A picture's row.
TEXT = "<__dj__image>"


def run_data_juicer(
    temporary: Path, pictures: Sequence[Path], process: Sequence[Mapping[str, Any]]
) -> tuple[Spent | None, str]:
    """What Data-Juicer spent on these pictures with two processes, or None and why it could not be run.

    Args:
        temporary: an empty folder's place; :func:`kept` reads there what stayed.
        pictures: one a row.
        process: its operators with their options.
    """
    refused = install_peer(HOME, PACKAGES, PACKAGES_ALONE, LIMIT_S)
    if refused is not None:
        return None, f"Data-Juicer {refused}"
    rows = temporary / "pictures.jsonl"
    with rows.open("w") as lines:
        for path in pictures:
            lines.write(json.dumps({"text": TEXT, "images": [str(path)]}) + "\n")
    recipe = temporary / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "project_name": "peer",
                "dataset_path": str(rows),
                "export_path": str(temporary / "peer" / "out.jsonl"),
                "np": 2,
                "open_tracer": False,
                "process": [dict(operator) for operator in process],
            }
        )
    )
    environment = {
        "HF_DATASETS_CACHE": str(temporary / "peer-cache"),
        "DATA_JUICER_CACHE_HOME": str(temporary / "peer-home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(stand_in(temporary)),
        "PYTHONWARNINGS": "ignore",
    }
    spent = spend([HOME / "bin" / "dj-process", "--config", recipe], cwd=temporary, environment=environment)
    if spent.code != 0:
        return None, f"Data-Juicer failed: {spent.output[-1000:]}"
    return spent, ""


def stand_in(temporary: Path) -> Path:
    """A folder for ``PYTHONPATH`` with a torchvision of nothing."""
    folder = temporary / "stand_in"
    (folder / "torchvision").mkdir(parents=True, exist_ok=True)
    (folder / "torchvision" / "__init__.py").write_text(TORCHVISION)
    return folder


def kept(temporary: Path) -> set[str]:
    """Paths of the pictures that a run kept."""
    with (temporary / "peer" / "out.jsonl").open("rb") as lines:
        return {path for line in lines for path in json.loads(line)["images"]}
