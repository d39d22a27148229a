"""Each kind of duplicate, through the real stages: who drops, who only is recorded."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger import near_images, near_texts
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.filtered.policy import DEFAULT
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.conftest import Row, Site, dedupe, ingest, jsonl, talk

SUFFIX = "Answer the question using a single word or phrase."
LONG = (
    "The picture shows a wide harbour in the evening light. Three fishing boats lie along the stone quay, and"
    " a man in a long coat mends a net beside a stack of wooden crates, while gulls circle above the roofs of"
    " the old market hall and a dog sleeps in the shade of a cart."
)


def scene(seed: int) -> Image.Image:
    """A drawing with enough detail for its hashes to mean something."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (320, 240), tuple(rng.integers(60, 220, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, w, h = rng.integers((0, 0, 10, 10), (300, 220, 90, 70)).tolist()
        colour = tuple(rng.integers(0, 255, 3).tolist())
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=colour)
    return image


def encoded(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def conversation(key: str, image: str, *exchanges: tuple[str, str]) -> Row:
    said = []
    for i, (question, answer) in enumerate(exchanges):
        said.append({"from": "human", "value": ("<image>\n" if i == 0 else "") + question})
        said.append({"from": "gpt", "value": answer})
    return {"id": key, "image": image, "conversations": said}


def outcome(platform: Platform) -> dict[str, tuple[str | None, str | None]]:
    """By native id: reason and whom the sample yields to."""
    names, rows = {}, []
    for source in platform.catalogue:
        unified = platform.store.require(UNIFIED, source).read(["sample_id", "native_id"]).to_pylist()
        names |= {row["sample_id"]: row["native_id"] for row in unified}
        rows += platform.store.require(DEDUPED, source).read().to_pylist()
    return {names[r["sample_id"]]: (r["reason"], names.get(r["duplicate_of"])) for r in rows}


def edges(platform: Platform) -> set[tuple[str, str, str]]:
    """Kind, later and earlier by native id."""
    names, rows = {}, []
    for source in platform.catalogue:
        unified = platform.store.require(UNIFIED, source).read(["sample_id", "native_id"]).to_pylist()
        names |= {row["sample_id"]: row["native_id"] for row in unified}
        rows += platform.store.require(DUPLICATE_LEDGER, source).read().to_pylist()
    return {(r["kind"], names[r["sample_id"]], names[r["winner_id"]]) for r in rows}


def compared(site: Site) -> Platform:
    platform = site.platform()
    for name in platform.catalogue:
        ingest(platform, name)
    for name in platform.catalogue:
        dedupe(platform, name)
    return platform


def test_a_question_inside_of_a_conversation_drops_whatever_the_file_and_the_suffix(
    site: Site, in_process: list[str]
) -> None:
    """VQAv2 inside of LLaVA: the commonest real duplicate, and no hash of whole samples finds it."""
    image = scene(1)
    small = image.resize((256, 192), Image.Resampling.LANCZOS)
    asked = [("What colour is the large ellipse?", "Red."), ("How many boxes are there?", "Nine.")]
    site.add(
        "llava",
        {"a.jsonl": jsonl([conversation("whole", "1.png", *asked)]), "1.png": encoded(image)},
        priority=1,
    )
    rows = [
        conversation("same", "1.png", asked[0]),
        conversation("suffix", "1.png", (f"What colour is the large ellipse?\n{SUFFIX}", "red")),
        conversation("encoded", "1.webp", asked[1]),
        conversation("near", "2.jpg", asked[1]),
        conversation("answer", "1.png", (asked[0][0], "Blue.")),
        conversation("more", "1.png", asked[0], ("Is it day?", "Yes.")),
        conversation("other", "3.png", asked[0]),
    ]
    pictures = {
        "1.png": encoded(image),
        "1.webp": encoded(image, "webp", lossless=True),
        "2.jpg": encoded(small, "jpeg", quality=85),
        "3.png": encoded(scene(2)),
    }
    site.add("vqa", {"a.jsonl": jsonl(rows), **pictures}, priority=2)
    platform = compared(site)
    found = outcome(platform)
    for name in ("same", "suffix", "encoded", "near"):
        assert found[name] == ("shared_turns", "whole"), name
    assert {n for n, (reason, _) in found.items() if reason is None} == {"whole", "answer", "more", "other"}
    assert {("shared_questions", "answer", "whole"), ("shared_turns", "more", "whole")} <= edges(platform)
    assert {k for k, *_ in edges(platform)} >= {"same_image", "near_image", "same_pictures"}


def test_a_near_picture_with_the_same_words_drops_and_another_picture_does_not(
    site: Site, in_process: list[str]
) -> None:
    image = scene(3)
    rows = [
        conversation("first", "1.png", ("Describe the picture.", LONG)),
        conversation("copy", "2.jpg", ("Describe the picture.", LONG)),
        conversation("reworded", "2.jpg", ("Describe the picture.", LONG.replace("wide", "broad"))),
        conversation("elsewhere", "3.png", ("Describe the picture.", LONG)),
    ]
    files = {"1.png": encoded(image), "2.jpg": encoded(image, "jpeg", quality=70), "3.png": encoded(scene(4))}
    site.add("one", {"a.jsonl": jsonl(rows[:1]), **files}, priority=1)
    site.add("two", {"a.jsonl": jsonl(rows[1:]), **files}, priority=2)
    platform = compared(site)
    found = outcome(platform)
    assert found["copy"] == ("near_pair", "first") and found["first"] == (None, None)
    assert found["reworded"] == ("near_pair", "first")
    assert found["elsewhere"] == (None, None), "one text about several pictures is recorded only"
    kinds = {kind for kind, later, _ in edges(platform) if later == "elsewhere"}
    assert "same_text" in kinds


def screen(seed: int) -> Image.Image:
    """A page of lines and boxes on white."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (320, 240), "white")
    draw = ImageDraw.Draw(image)
    for row in range(10, 230, 16):
        x, width = rng.integers((8, 40), (120, 180)).tolist()
        draw.rectangle((x, row, x + width, row + 7), fill=(40, 40, 60))
    draw.rectangle((200, 20, 300, 90), fill=(200, 80, 60))
    return image


def test_a_dark_theme_of_a_page_is_recorded_and_stays(site: Site, in_process: list[str]) -> None:
    """A lead who wants to know how often one page is trained on is told; a screen in the dark is no waste."""
    light = screen(3)
    dark = Image.eval(light, lambda level: 255 - int(level * 0.85))
    rows = [conversation(n, f"{n}.png", (f"Which page is {n}?", "One.")) for n in ("light", "dark", "other")]
    pages = {"light.png": light, "dark.png": dark, "other.png": screen(4)}
    site.add("src", {"a.jsonl": jsonl(rows), **{name: encoded(page) for name, page in pages.items()}})
    platform = compared(site)
    assert set(outcome(platform).values()) == {(None, None)}
    (found,) = [sides for kind, *sides in edges(platform) if kind == "image_variant"]
    assert set(found) == {"light", "dark"}


def test_short_questions_from_one_form_on_one_picture_stay(site: Site, in_process: list[str]) -> None:
    asked = [
        (f"How many {colour} boxes are there in the picture?", "2") for colour in ("red", "blue", "grey")
    ]
    rows = [conversation(str(i), "1.png", exchange) for i, exchange in enumerate(asked)]
    site.add("src", {"a.jsonl": jsonl(rows), "1.png": encoded(scene(5))})
    platform = compared(site)
    assert set(outcome(platform).values()) == {(None, None)}
    assert {kind for kind, *_ in edges(platform)} == {"same_pictures"}


def test_blank_pages_are_one_node_or_none(site: Site, in_process: list[str]) -> None:
    """A million blank pages must not become half a billion pairs."""
    rows = [conversation(str(i), f"{i}.png", (f"What is written on page {i}?", "-")) for i in range(6)]
    blank = Image.new("RGB", (200, 300), "white")
    pages = {f"{i}.png": encoded(blank, compress_level=i) for i in range(4)}
    pages |= {f"{i}.png": encoded(Image.new("RGB", (200, 300), (255, 255, 250 - i))) for i in (4, 5)}
    site.add("src", {"a.jsonl": jsonl(rows), **pages})
    ingest(site.platform(), "src")
    own, _ = materialize_duplicate_ledger(site.platform(), "src", "run")
    assert own.notes["pictures_of_low_detail"] == own.notes["pictures"] == 3
    assert not {"near_image", "image_variant"} & set(own.notes["kinds"])
    assert own.notes["kinds"]["same_pictures"] == 3


def policy(site: Site, **changes: Any) -> str:
    content = yaml.safe_load(DEFAULT.read_text())
    content["licences"] |= changes.get("licences", {})
    content["duplicates"] |= changes.get("duplicates", {})
    path = site.folder / "policy.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_policy_that_only_records_drops_nothing_and_searches_nothing_again(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = scene(6)
    rows = [conversation(str(i), f"{i}.jpg", ("Describe it.", LONG)) for i in range(2)]
    files = {"0.jpg": encoded(image, "jpeg", quality=90), "1.jpg": encoded(image, "jpeg", quality=60)}
    site.add("src", {"a.jsonl": jsonl(rows), **files})
    platform = compared(site)
    assert sorted(reason or "" for reason, _ in outcome(platform).values()) == ["", "near_pair"]

    def searched(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    for module, name in (
        (near_images, "near_pairs"),
        (near_images, "spread"),  # both looks
        (near_texts, "near_text_pairs"),
    ):
        monkeypatch.setattr(module, name, searched)
    monkeypatch.setenv(
        "INFINITY_POLICY",
        policy(site, duplicates={"near_pair": {"action": "record"}, "shared_turns": {"action": "record"}}),
    )
    result = dedupe(site.platform(), "src")
    assert result.counts.dropped == 0 and result.notes["flips"] == {"kept_policy": 1}


def test_what_was_remembered_decides_nothing(site: Site, in_process: list[str]) -> None:
    """Lost otherwise: a ledger that cannot be trusted after a disk that was full."""
    image = scene(7)
    rows = [conversation(str(i), f"{i}.jpg", ("Describe it.", LONG.replace("Three", "3"))) for i in range(2)]
    rows.append(talk(9, question="Tell me a story.", answer=LONG))
    files = {"0.jpg": encoded(image, "jpeg", quality=90), "1.jpg": encoded(image, "jpeg", quality=60)}
    site.add("src", {"a.jsonl": jsonl(rows), **files})
    platform = compared(site)
    before = platform.store.require(DUPLICATE_LEDGER, "src").data_version
    folder = site.folder / "store" / "_ledger"
    for path in sorted(folder.iterdir()):
        path.write_bytes(path.read_bytes()[:40] + b"torn")
    materialize_duplicate_ledger(site.platform(), "src", "again")
    assert platform.store.require(DUPLICATE_LEDGER, "src").data_version == before


def test_a_winner_that_is_dropped_for_its_licence_gives_its_place_to_its_twin(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add(
        "nc", {"a.jsonl": jsonl([talk(1), talk(1), talk(2)])}, priority=1, licence={"id": "CC-BY-NC-4.0"}
    )
    site.add("free", {"a.jsonl": jsonl([talk(1), talk(3)])}, priority=2)
    site.add("late", {"a.jsonl": jsonl([talk(1)])}, priority=3)
    platform = compared(site)
    assert platform.store.require(DEDUPED, "free").notes["flips"] == {}
    assert (
        sum(
            r["verdict"] == "drop"
            for r in materialize_deduped(platform, "free", "x").published.read().to_pylist()
        )
        == 1
    )
    monkeypatch.setenv("INFINITY_POLICY", policy(site, licences={"noncommercial": "drop"}))
    for name in platform.catalogue:
        result = dedupe(site.platform(), name)
        if name == "free":
            assert result.notes["flips"] == {"kept_policy": 1}
    rows = site.platform().store.require(DEDUPED, "free").read().to_pylist()
    assert [row["verdict"] for row in rows] == ["keep", "keep"]
    (told,) = [row["detail"] for row in rows if row["detail"]]
    assert told.startswith("stays in place of nc-") and "licence_noncommercial" in told
    (late,) = site.platform().store.require(DEDUPED, "late").read().to_pylist()
    assert late["duplicate_of"].startswith("free-"), "and the next one yields to the twin"


def test_near_duplicates_end_the_same_whatever_the_order_in_which_sources_arrive(
    site: Site, in_process: list[str]
) -> None:
    """What was searched for one source at a time equals what is searched for all at once."""
    image = scene(8)
    whole = [("Describe the picture.", LONG), ("Is it evening?", "Yes.")]
    files = {
        "a": ([conversation("a", "p.jpg", whole[0])], encoded(image, "jpeg", quality=50)),
        "b": (
            [conversation("b", "p.jpg", *whole), talk("t", question="Tell it.", answer=LONG)],
            encoded(image, "jpeg", quality=90),
        ),
        "c": (
            [
                conversation("c", "p.png", whole[1]),
                talk("u", question="Tell it.", answer=LONG.replace("wide", "broad")),
            ],
            encoded(image),
        ),
    }
    for name, (rows, data) in files.items():
        site.add(name, {"a.jsonl": jsonl(rows), "p.jpg": data, "p.png": data})
    ends = []
    for order in ("abc", "cba", "bca"):
        for name in order:
            ingest(site.platform(order), name)
            dedupe(site.platform(order), name)
        for name in order:
            materialize_deduped(site.platform(order), name, "converge")
        store = site.platform(order).store
        tables = [(table, name) for table in (DUPLICATE_LEDGER, DEDUPED) for name in "abc"]
        ends.append([store.require(table, name).data_version for table, name in tables])
    assert ends[0] == ends[1] == ends[2]
    assert {kind for kind, *_ in edges(site.platform("abc"))} >= {"near_image", "near_text", "shared_turns"}


def coco(ids: int, *pictures: tuple[str, list[list[float]]]) -> dict[str, bytes]:
    """Files of records that are boxes alone; ``ids`` is where upstream begins to count them."""
    images = [{"id": i, "file_name": name} for i, (name, _) in enumerate(pictures)]
    boxes = [
        {"id": ids + 10 * i + k, "image_id": i, "category_id": 1, "bbox": box}
        for i, (_, found) in enumerate(pictures)
        for k, box in enumerate(found)
    ]
    body = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    return {"boxes.json": json.dumps(body).encode()}


def test_records_of_the_same_boxes_about_near_pictures_are_duplicates(
    site: Site, in_process: list[str]
) -> None:
    """No word is said in them, and upstream numbers its boxes anew in each copy."""
    image = scene(9)
    small = image.resize((256, 192), Image.Resampling.LANCZOS)
    boxes = [[10.0, 20.0, 100.0, 60.0], [200.0, 100.0, 50.0, 90.0]]
    scaled = [[0.8 * n for n in box] for box in reversed(boxes)]
    reader = {"format": "coco", "instances": "boxes.json", "images": "{file_name}"}
    files = {"1.png": encoded(image), "2.jpg": encoded(small, "jpeg", quality=90)}
    site.add("one", {**coco(1, ("1.png", boxes)), **files}, reader=reader, priority=1)
    copies = [("1.png", boxes), ("2.jpg", scaled), ("2.jpg", boxes)]
    site.add("two", {**coco(500, *copies), **files}, reader=reader, priority=2)
    platform = compared(site)
    rows = platform.store.require(DEDUPED, "two").read().to_pylist()
    assert [row["reason"] for row in rows] == ["near_pair", "near_pair", None]
    assert rows[0]["distance"] == 0 and 0 <= rows[1]["distance"] < 0.02
    assert platform.store.require(DEDUPED, "one").read().to_pylist()[0]["verdict"] == "keep"
