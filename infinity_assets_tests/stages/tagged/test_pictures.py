"""Without these, pictures are paid for twice, get each other's tags, or a moved cut goes unnoticed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import yaml

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.models.taggers.protocol import PictureTags
from infinity_assets.platform import Platform
from infinity_assets.settings import RamPlusSettings, Settings
from infinity_assets.sharding.worker import run_task
from infinity_assets.stages.filtered.policy import DEFAULT
from infinity_assets.stages.tagged import pictures
from infinity_assets.stages.tagged.pictures import rgb
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets_tests.conftest import dedupe, ingest, jsonl, picture, samples, talk

TAGS = ("high", "low", "never", "often", "strict")
THRESHOLDS = ("0.5", "0.5", "1.0", "0.65", "0.99")
LOGITS = {"high": 5.0, "low": 1.3, "never": 9.0, "often": 1.4, "strict": 4.0}


class Model:
    """Sees the same five tags in every picture, "high" the clearer the later its id sorts; tells which."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def tag(self, given):
        for one in given:
            assert rgb(one.data).shape == (24, 32, 3)
            self.seen.append(one.image_id)
            logits = LOGITS | {"high": 5.0 + int(one.image_id[:4], 16) / 1e6}
            yield PictureTags(one.image_id, tuple(logits), tuple(logits.values()))


@pytest.fixture
def model(monkeypatch):
    made = Model()
    monkeypatch.setattr(pictures, "open_tagger", lambda options, decode: made)

    def run(root, plan, **_):
        for task in plan.tasks:
            run_task(root, task)

    monkeypatch.setattr(pictures, "run_plan", run)
    return made


def looking(site, **more) -> Platform:
    for name, lines in (("tags", TAGS), ("thresholds", THRESHOLDS)):
        (site.folder / f"{name}.txt").write_text("\n".join(lines))
    (site.folder / "w.safetensors").write_bytes(b"weights")
    files = {"tags": site.folder / "tags.txt", "thresholds": site.folder / "thresholds.txt"}
    ram_plus = RamPlusSettings(weights=site.folder / "w.safetensors", **files)
    given = site.platform().settings.model_dump() | {"tagger": "ram_plus", "ram_plus": ram_plus} | more
    return Platform(Settings(**given))


def source(site, count=3):
    files = {f"{i}.png": picture(i) for i in range(count)}
    rows = [talk(i, f"{i}.png", answer=f"A cat, number {i}.") for i in range(count)]
    return site.add("s", {"rows.jsonl": jsonl([*rows, talk("two", "0.png", "1.png"), talk("none")]), **files})


def run(platform):
    ingest(platform, "s")
    dedupe(platform, "s")
    return materialize_tagged(platform, "s", "test")


def test_tags_seen_count_from_both_cuts_on_and_keep_their_logits(site, in_process, model):
    """Infinity-MM's tags are those above its cut and the tag's own threshold, with how sure they are."""
    source(site)
    rows = samples(run(looking(site)))
    assert [row["image_tags"] for row in rows] == [["high", "often"]] * 4 + [[]]
    assert [row["tag_sources"] for row in rows] == [["picture", "picture"]] * 4 + [[]]
    assert all(row["tag_logits"][1] == np.float32(1.4) for row in rows[:4])
    one, two, both = (row["tag_logits"][0] for row in (rows[0], rows[1], rows[3]))
    assert both == max(one, two) and one != two  # a sample of two pictures has the surer of both
    assert {row["vocabulary"].split("@")[0] for row in rows} == {"tags"}


def test_captions_stay_the_default_and_have_no_logits(site, in_process):
    source(site, 1)
    row = samples(run(site.platform()))[0]
    assert row["image_tags"] == ["cat"] and row["tag_logits"] == [None]


def test_no_picture_is_looked_at_twice(site, in_process, model):
    """GPU hours: a rerun, a source that grew, a moved cut and a moved threshold must not pay again."""
    home = source(site)
    run(looking(site))
    assert len(model.seen) == len(set(model.seen)) == 3
    run(looking(site))
    policy = yaml.safe_load(DEFAULT.read_text())
    policy["picture_tags"] = {"min_logit": 1.2, "source": "a test"}
    (site.folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    moved = samples(run(looking(site, policy=site.folder / "policy.yaml")))
    assert moved[0]["image_tags"] == ["high", "low", "often"]
    assert len(model.seen) == 3
    (home / "7.png").write_bytes(picture(7))
    with (home / "rows.jsonl").open("ab") as file:
        file.write(jsonl([talk(7, "7.png")]))
    assert len(samples(run(looking(site)))) == 6
    assert len(model.seen) == len(set(model.seen)) == 4


def test_another_model_looks_for_itself(site, in_process, model):
    """Tags of old weights under the name of the new would never be noticed."""
    source(site)
    run(looking(site))
    platform = looking(site)
    (site.folder / "w.safetensors").write_bytes(b"other weights")
    run(platform)
    assert len(model.seen) == 6


def test_run_that_died_keeps_what_was_seen(site, in_process, model, monkeypatch):
    """Killed after hours, the next run must go on where it stopped."""
    source(site, 5)
    monkeypatch.setattr("infinity_assets.stages.images.plan.SHARD_IMAGES", 1)
    whole = pictures.run_plan

    def dies(root, plan, **more):
        whole(root, dataclasses.replace(plan, tasks=plan.tasks[:2]))
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "run_plan", dies)
    with pytest.raises(KeyboardInterrupt):
        run(looking(site))
    seen = list(model.seen)
    assert len(seen) == 2
    monkeypatch.setattr(pictures, "run_plan", whole)
    rows = samples(run(looking(site)))
    assert len(model.seen) == len(set(model.seen)) == 5 and all(row["image_tags"] for row in rows[:6])


def test_model_without_files_is_told_by_setting(site, in_process):
    """A typo in the environment must not fall back to captions in silence."""
    source(site, 1)
    platform = looking(site, ram_plus=RamPlusSettings())
    with pytest.raises(CatalogueError, match="INFINITY_RAM_PLUS_WEIGHTS"):
        run(platform)


def test_cut_below_what_is_kept_is_refused(site, in_process, model):
    """Tags that were never kept cannot count; a lower cut would silently give too few."""
    source(site, 1)
    policy = yaml.safe_load(DEFAULT.read_text()) | {"picture_tags": {"min_logit": -3.0, "source": "a test"}}
    (site.folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    (site.folder / "thresholds.txt").write_text("")
    platform = looking(site, policy=site.folder / "policy.yaml")
    (site.folder / "thresholds.txt").write_text("\n".join(["0.1"] * 5))
    with pytest.raises(StoreError, match="raise `min_logit`"):
        run(platform)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P", "RGB", "RGBA", "CMYK"])
def test_any_picture_becomes_upright_rgb(mode):
    """What the model sees must be what the picture shows, whatever way it is stored."""
    import io

    from PIL import Image

    base = Image.fromarray(np.full((6, 4, 3), 200, np.uint8)) if mode != "1" else Image.new("1", (4, 6), 1)
    image = Image.new("I;16", (4, 6), 200 * 256) if mode == "I;16" else base.convert(mode)
    out = io.BytesIO()
    image.save(out, "TIFF" if mode == "CMYK" else "PNG")
    pixels = rgb(out.getvalue())
    assert pixels.shape == (6, 4, 3) and pixels.dtype == np.uint8
    assert (abs(pixels.astype(int) - (255 if mode == "1" else 200)) <= 4).all()  # a palette rounds


def test_what_was_seen_survives_packing():
    rows = [
        PictureTags("a", ("x", "y"), (1.5, 2.0)),
        PictureTags("b", (), ()),
        PictureTags("c", ("x",), (3.0,)),
    ]
    table = pa.ipc.open_file(pictures._packed(rows)).read_all()
    assert [(r["image_id"], tuple(r["tags"]), tuple(r["logits"])) for r in table.to_pylist()] == [
        (row.image_id, row.tags, row.logits) for row in rows
    ]
