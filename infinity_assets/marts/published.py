"""Snapshots as their readers find them: needs no table of the store, so that a server of figures is light."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POINTER: Final = "current"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One published snapshot."""

    folder: Path
    number: int  #: 1 is the first
    id: str
    rows: Mapping[str, int]  #: by table
    made: bool = True  #: False where it was there already: nothing changed since

    @property
    def page(self) -> Path:
        """The self-contained HTML file."""
        return self.folder / "quality.html"


def current_snapshot(home: Path) -> Snapshot | None:
    """The snapshot that readers take; None before the first."""
    root = home / "quality"
    try:
        return _read(root / (root / POINTER).read_text("ascii").strip())
    except FileNotFoundError:
        return None


def kept_snapshots(home: Path) -> list[Snapshot]:
    """Every snapshot that readers may take, the current one first, then the newest."""
    current = current_snapshot(home)
    if current is None:
        return []
    older = [_read(path) for path in folders(home / "quality") if path.name < current.folder.name]
    return [current, *reversed(older)]


def folders(root: Path) -> list[Path]:
    """Folders of snapshots, oldest first; one that was left by a killed writer may be the last."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read(folder: Path) -> Snapshot:
    told = json.loads((folder / "snapshot.json").read_text("utf-8"))
    return Snapshot(folder, told["number"], told["id"], told["rows"], made=False)
