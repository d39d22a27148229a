"""What is decided again when something comes, goes or is barred gives what deciding all of it gives."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from infinity_assets.platform import Platform
from infinity_assets.similarity import banding, texts
from infinity_assets.similarity.exchanges import Exchanges
from infinity_assets.similarity.signature import Signature, pack
from infinity_assets.similarity.texts import conversation_of, text_signatures
from infinity_assets.stages.duplicate_ledger import affected, near_images, near_texts, shared
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import TableSpec
from infinity_assets_tests.conftest import Row, Site

WORDS = ["harbour", "boats", "stone", "quay", "gulls", "crates", "market", "roofs", "cart", "shade", "lamp"]
SOURCES = ("ants", "bees", "cats", "dogs")

#: Picture and text of a sample, by number, and how many exchanges it has.
Kind = tuple[int, int, int]

#: Pictures are of so many drawings, in three files each; more numbers show none.
DRAWINGS, NUMBERS = 40, 150
TEXTS = 80


def hexed(*what: object) -> str:
    return blake3.blake3(repr(what).encode()).hexdigest(16)


@cache
def drawing(number: int) -> tuple[bytes, bytes]:
    pixels = np.random.default_rng(number).integers(0, 255, (48, 64), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue(), pack(Signature(64, 48, pixels, None))


def image_row(number: int) -> Row:
    """Of each drawing three files, two of equal pixels; pHashes of neighbours are within the radius."""
    of, file = divmod(number, 3)
    data, signature = drawing(of // 2 if file == 2 else of)
    base = int.from_bytes(blake3.blake3(b"%d" % (of // 4)).digest(8), "big")
    phash = base ^ (0x1F << 6 * (of % 4)) ^ (1 << 60 if file == 2 else 0)
    return {
        "image_id": hexed("image", number),
        "bytes": data,
        "byte_length": len(data),
        "phash": phash.to_bytes(8, "big"),
        "pixel_hash": hexed("pixels", of, file == 2),
        "low_detail": of % 4 == 3,
        "signature": signature,
        "verdict": "keep",
    }


@cache
def said(number: int) -> str:
    """Long texts of eight forms with one blank each, and short ones."""
    words = [WORDS[i] for i in np.random.default_rng(number // 5).integers(0, len(WORDS), 60)]
    words[7 * (number % 5)] = ("red", "wide", "boat")[number % 3]
    return " ".join(words if number % 4 else words[:3])


def sample_row(source: str, kind: Kind, number: int, cut: Exchanges) -> Row:
    picture, text, count = kind
    pairs = [(f"What is it, part {i}?", said((text + i) % TEXTS)) for i in range(count)]
    turns = [turn for asked, answer in pairs for turn in (("user", asked), ("assistant", answer))]
    exchanges = cut.of(turns)
    shown = [] if picture >= 3 * DRAWINGS else [hexed("image", picture)]
    return {
        "sample_id": f"{source}-{hexed('sample', source, kind, number)}",
        "source": source,
        "record_hash": hexed("record", number),
        "locator": {"file": "made", "row": number},
        "turns": [{"role": role, "text": text} for role, text in turns],
        "media": [{"kind": "image", "ref": "made", "embedded": True, "image_id": i} for i in shown],
        "annotations": [],
        "extras": "{}",
        "upstream": "{}",
        "licence": "CC0-1.0",
        "text_hash": hexed("text", turns),
        "question_hashes": [cut.fingerprints(e)[0] for e in exchanges],
        "turn_hashes": [cut.fingerprints(e)[1] for e in exchanges],
        "text_signature": text_signatures([conversation_of(exchanges)])[0],
        "marker_added": False,
        "image_ids": shown,
        "content_hash": hexed("content", turns, shown),
        "verdict": "keep" if (number + picture) % 7 else "quarantine",
    }


def publish(platform: Platform, spec: TableSpec, source: str, parts: list[list[Row]]) -> None:
    transaction = platform.store.begin(spec, source)
    staged = [
        transaction.stage(
            hexed(part), pa.Table.from_pylist(part, schema=spec.schema), {"verdicts": {"keep": len(part)}}
        )
        for part in parts
    ]
    transaction.commit(staged, run_id="made", inputs={})


class Made:
    """A site whose sources are published as tables, without files to read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = Site(folder)
        self.dropped: dict[str, list[str]] = {}
        monkeypatch.setattr(Platform, "dropped_later", lambda _, name: self._dropped_later(name))
        self.rows: dict[str, list[list[Kind]]] = {}
        self.cut = Exchanges()

    def _dropped_later(self, name: str) -> pa.Table:
        ids = self.dropped.get(name, [])
        return pa.table(
            {"sample_id": pa.array(ids, pa.string()), "reason": pa.array(["stale"] * len(ids), pa.string())}
        )

    def take(self, step: tuple[str, str, Any]) -> None:
        verb, name, what = step
        if verb in ("come", "grow"):
            self.rows[name] = what if verb == "come" else [*self.rows.get(name, []), *what]
            self.site.add(name, {}, priority=SOURCES.index(name) % 2)
            platform = self.site.platform()
            samples = self.samples(name)
            shown = [[k[0] for k in part if k[0] < 3 * DRAWINGS] for part in self.rows[name]]
            publish(platform, IMAGES, name, [[image_row(i) for i in sorted(set(p))] for p in shown if p])
            publish(platform, UNIFIED, name, samples)
        elif name in self.rows and verb == "go":
            del self.rows[name]
            (self.site.catalogue / f"{name}.yaml").unlink()
        elif name in self.rows:
            ids = [row["sample_id"] for part in self.samples(name) for row in part]
            self.dropped[name] = ids[what::4]

    def samples(self, name: str) -> list[list[Row]]:
        rows, number = [], 0
        for part in self.rows[name]:
            rows.append([sample_row(name, kind, number + i, self.cut) for i, kind in enumerate(part)])
            number += len(part)
        return rows

    def ledger(self, name: str) -> dict[str, str]:
        platform = self.site.platform()
        materialize_duplicate_ledger(platform, name, "run")
        return {n: platform.store.require(DUPLICATE_LEDGER, n).data_version for n in platform.catalogue}

    def forget(self) -> None:
        for path in (self.site.folder / "store" / "_ledger").iterdir():
            path.unlink()


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With the limits of practice a test of them would need thousands of samples."""
    monkeypatch.setattr(affected, "MOST", 1.0)
    monkeypatch.setattr(texts, "candidates", partial(banding.candidates, crowd=3))
    for module in (near_texts, near_images, shared):
        monkeypatch.setattr(module, "CROWD", 3)
    return


def some_kinds(random: np.random.Generator, count: int) -> list[Kind]:
    """Of a few ones, some in another file of the same drawing: so there are duplicates."""
    few = np.random.default_rng(5).integers((0, 0, 1), (NUMBERS, TEXTS, 3), (40, 3))
    taken = few[random.integers(0, len(few), count)]
    taken[:, 0] = np.where(random.random(count) < 0.5, taken[:, 0], taken[:, 0] // 3 * 3 + random.integers(3))
    return [(picture, text, exchanges) for picture, text, exchanges in taken.tolist()]


def some_step(random: np.random.Generator) -> tuple[str, str, Any]:
    verb, name = random.choice(["come", "grow", "grow", "go", "bar"]), str(random.choice(SOURCES))
    return str(verb), name, int(random.integers(4)) if verb == "bar" else [some_kinds(random, 2)]


@pytest.mark.usefixtures("small_world")
@settings(deadline=None, max_examples=14, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_a_change_gives_what_deciding_everything_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Lost otherwise: edges and verdicts that depend on what came first."""
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        made = Made(tmp_path_factory.mktemp("made"), patch)
        for name in SOURCES[:2]:
            made.take(("come", name, [some_kinds(random, 9) for _ in range(3)]))
        made.ledger("ants")
        for _ in range(random.integers(1, 4)):
            made.take(some_step(random))
            if made.rows:
                grown = made.ledger(min(made.rows))
        if made.rows:
            made.forget()
            assert made.ledger(min(made.rows)) == grown


def test_a_source_that_meets_nothing_decides_nothing_else_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost otherwise: hours, each time that one per cent comes to a hundred million samples."""
    made = Made(tmp_path, monkeypatch)
    made.take(("come", "ants", [[(i, i, 1) for i in range(0, 12, 3)]]))
    made.ledger("ants")
    made.take(("come", "bees", [[(30, 20, 1), (30, 21, 1)]]))
    own, others = materialize_duplicate_ledger(made.site.platform(), "bees", "run")
    assert not others
    assert (own.notes["samples_compared"], own.notes["samples_decided_again"]) == (5, 2)


def test_a_form_that_becomes_crowded_by_a_new_text_joins_none_whatever_came_first(tmp_path: Path) -> None:
    """Lost otherwise: near copies of a form's first entries stay joined if they came early, and else not."""
    words = [WORDS[i] for i in np.random.default_rng(3).integers(0, len(WORDS), 80)]
    talks = [conversation_of(Exchanges().of([("user", " ".join([*words, f"end{i}"]))])) for i in range(140)]
    keys = np.array([[i, i] for i in range(len(talks))], np.uint64)
    signed = np.frombuffer(b"".join(s or b"" for s in text_signatures(talks)), np.uint8).reshape(
        len(talks), -1
    )
    none = keys[:0], signed[:0]

    def near(objects: Objects, count: int, gone: tuple[Any, Any] = none) -> set[tuple[int, int]]:
        def read(wanted: np.ndarray) -> list[Any]:
            return [talks[i] for i in wanted.tolist()]

        found = near_texts.near_texts(keys[:count], signed[:count], read, objects, gone)
        return set(zip(found.left.tolist(), found.right.tolist(), strict=True))

    slowly, at_once = Objects(str(tmp_path / "slowly")), Objects(str(tmp_path / "at_once"))
    few = near(slowly, 60)
    assert few, "some of a form are joined while they are few"
    crowded = near(slowly, len(talks))
    assert crowded == near(at_once, len(talks)) and few - crowded
    assert near(slowly, 60, (keys, signed)) == few, "and again when the others are gone"
