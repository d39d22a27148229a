"""The folders of finished exports: a manifest that is written last, and a link to the newest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from infinity_assets.errors import StoreError

MANIFEST = "manifest.json"
CURRENT = "current"


def current_export(exports_root: Path, format_name: str, stage: str) -> Path:
    """Folder of the newest export.

    Raises:
        StoreError: if there is none.
    """
    link = exports_root / format_name / stage / CURRENT
    if not link.exists():
        raise StoreError(
            f"{link}: no export yet; materialize exported_{format_name} of training stage {stage}"
        )
    return link.resolve()


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an export's ``manifest.json`` says.

    Raises:
        StoreError: if the folder has none: it is not a whole export.
    """
    try:
        manifest: dict[str, Any] = orjson.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{folder}: no {MANIFEST}, so this is not a whole export; export again") from None
    return manifest


def point_current(place: Path, export_id: str) -> None:
    """Switch ``current`` in one step: readers see the old export or the new one."""
    link = place / CURRENT
    if link.is_symlink() and link.readlink() == Path(export_id):
        return
    fresh = place / f".{CURRENT}-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(export_id)
    fresh.replace(link)
