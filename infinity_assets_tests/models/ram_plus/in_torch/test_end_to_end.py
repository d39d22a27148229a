"""Without this, RAM++ works alone but its tags never reach a table."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.store.tables import Store
from infinity_assets_tests.models.ram_plus.toy.drawings import draw

TOY = Path(__file__).resolve().parents[1] / "toy"
COUNT = 40


@pytest.mark.timeout(280)
def test_tags_seen_in_drawn_pictures_arrive_in_the_table(tmp_path):
    """``infinity run`` through Dagster and worker processes, with the network trained on such drawings."""
    r, folder, truth, rows = random.Random(9_000_000), tmp_path / "drawn", {}, []
    folder.mkdir()
    for number in range(COUNT):
        image, tags = draw(r, side=160)
        out = io.BytesIO()
        image.save(out, "PNG")
        (folder / f"{number}.png").write_bytes(out.getvalue())
        truth[f"{number}.png"] = tags
        asked = {"from": "human", "value": f"<image>\nWhat does drawing {number} show?"}
        told = {"from": "gpt", "value": "A drawing, of which nothing more is said."}
        rows.append({"id": str(number), "image": f"{number}.png", "conversations": [asked, told]})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "catalogue").mkdir()
    spec = {"name": "drawn", "category": "general", "licence": {"id": "CC0-1.0"}, "language": "en"}
    spec |= {"location": str(folder), "reader": {"format": "llava"}}
    (tmp_path / "catalogue" / "drawn.yaml").write_text(yaml.safe_dump(spec))
    environment = {
        "INFINITY_TAGGER": "ram_plus",
        "INFINITY_RAM_PLUS_WEIGHTS": str(TOY / "toy.safetensors"),
        "INFINITY_RAM_PLUS_TAGS": str(TOY / "tags.txt"),
        "INFINITY_RAM_PLUS_THRESHOLDS": str(TOY / "thresholds.txt"),
    }
    command = [sys.executable, "-m", "infinity_assets.cli", "run", "--home", tmp_path / "home"]
    command += ["--catalogue", tmp_path / "catalogue", "--workers", "1"]
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    store = Store(tmp_path / "home" / "store")
    tagged = store.require(TAGGED, "drawn").read().to_pylist()
    assert len(tagged) == COUNT
    given = right = 0
    for row, number in zip(tagged, range(COUNT), strict=True):  # in source order
        assert set(row["tag_sources"]) <= {"picture"} and min(row["tag_logits"]) >= 1.4
        assert row["vocabulary"].startswith("tags@")
        given += len(row["image_tags"])
        right += len(set(row["image_tags"]) & truth[f"{number}.png"])
    assert given >= 2 * COUNT and right / given >= 0.9
