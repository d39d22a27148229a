"""A deployment with every kind of line: one picture, several, none, PNG, too large, turned, read twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from infinity_assets.stages.mixed.spec import MixSpec
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets_tests.stages.exported.stores import Deployment, Row, picture, qa


def rows() -> list[Row]:
    exif = Image.Exif()
    exif[274] = 6
    plain = [
        Row(qa(f"<image>\nWhat is it, no. {i}? 中文 \n\n", f"It is {i}.\t"), [picture(i)]) for i in range(20)
    ]
    return [
        *plain,
        Row(qa("<image>\nDrawing?"), [picture(100, "PNG")], '{"phash": [18446744073709551615]}'),
        Row(qa("<image><image>\nWhich?"), [picture(101), picture(102, "PNG")]),
        Row([("system", "Be brief."), *qa("Hello?"), *qa("And?", "No.")]),
        Row(qa("<image>\nLarge?"), [picture(103, size=(3000, 500), exif=exif)]),
        Row(qa("<image>\nTurned?"), [picture(104, exif=exif)]),
        Row(qa("<image>\nSame picture?"), [picture(0)]),
    ]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """Training stage 3 of two sources, planned twice over."""
    made = Deployment(tmp_path, mixes={"3": MixSpec(epochs=2, seed=1)})
    made.source("alpha", rows())
    made.source("beta", [Row(qa(f"Text {i}?")) for i in range(7)], category="text")
    materialize_mixed(made, "3", "test")  # type: ignore[arg-type]
    return made
