"""A catalogue of a few tiny sources, one of them broken, and the platform over it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from infinity_assets.platform import Platform
from infinity_assets.settings import Settings

#: In every answer, so that a leak of sample text into Dagster's records can be searched for.
SECRET = "platypus orchestra"


def add_source(folder: Path, name: str, colours: list[str], **extra: object) -> None:
    """Write a LLaVA source with one picture and one question for each colour."""
    files = folder / "files" / name
    files.mkdir(parents=True, exist_ok=True)
    rows = []
    for colour in colours:
        Image.new("RGB", (48, 32), colour).save(files / f"{colour}.png")
        talk = [
            {"from": "human", "value": f"<image>\nWhich colour fills this {colour} picture, please?"},
            {"from": "gpt", "value": f"The whole picture is {colour}, says the {SECRET} on the left."},
        ]
        rows.append({"id": colour, "image": f"{colour}.png", "conversations": talk})
    (files / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    write_spec(folder, name, **extra)


def write_spec(folder: Path, name: str, **extra: object) -> None:
    """Write the source file alone; where there are no files beside it, the source is broken."""
    spec = {
        "name": name,
        "category": "general",
        "licence": {"id": "CC0-1.0"},
        "language": "en",
        "location": f"files/{name}",
        "reader": {"format": "llava"},
        "stages": ["2a"],
        **extra,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(spec), encoding="utf-8")


def small_platform(folder: Path) -> Platform:
    """``alpha`` and ``beta`` (which share a sample) and ``broken`` (whose files are missing)."""
    catalogue = folder / "catalogue"
    catalogue.mkdir(parents=True)
    add_source(catalogue, "alpha", ["red", "green", "blue"], priority=50)
    add_source(catalogue, "beta", ["red", "white"], priority=60)
    write_spec(catalogue, "broken")
    return Platform(Settings(home=folder / "home", catalogue=catalogue))
