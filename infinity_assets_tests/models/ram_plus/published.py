"""Names and shapes of the published checkpoint, where its list lies beside the repository."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "ram_plus"


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Each tensor's shape by name."""
    found = json.loads((FOLDER / "checkpoint_keys_swin_l.json").read_text())
    return {name: tuple(shape) for name, shape in found.items()}
