"""A network made here, not trained: coarse colours through fixed weights. It tells copies from others."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from infinity_assets.demo import scenes
from infinity_assets.demo.parts import jpeg, png
from infinity_assets.models.copies import SIDE, CopyDetector, CopyDetectorError
from infinity_assets.stages.duplicate_ledger.copies import look_for_copies
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.images.closeup import squared
from infinity_assets.stages.images.limits import Limits
from infinity_assets_tests.conftest import Site, ingest, jsonl, talk


class Coarse(torch.nn.Module):
    """Deviations of 8 x 8 mean colours, mixed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(seed)
        self.register_buffer("mix", torch.randn(192, 64, generator=made))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        coarse = torch.nn.functional.adaptive_avg_pool2d(pictures, [8, 8])
        coarse = coarse - coarse.mean(dim=[2, 3], keepdim=True)
        return coarse.flatten(1) @ self.mix


def saved(folder: Path, seed: int = 5, network: type[torch.nn.Module] = Coarse) -> Path:
    file = folder / f"{network.__name__}-{seed}.pt"
    torch.jit.save(torch.jit.script(network(seed)), str(file))
    return file


def drawing(seed: int) -> bytes:
    return png(scenes.pixels_of_scene(scenes.plan_scene(random.Random(seed), 320, 240, 3, 6)))


def smaller(data: bytes) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    return jpeg(cv2.resize(pixels, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA), 80)


def test_copies_agree_and_other_pictures_do_not(tmp_path):
    """Lost otherwise: the network sees other pixels than it was made for."""
    detector = CopyDetector(saved(tmp_path))
    pairs = [(drawing(i), smaller(drawing(i))) for i in range(4)]
    pairs += [(drawing(i), drawing(i + 10)) for i in range(4)]
    told = look_for_copies(detector, pairs)
    assert [t.relation for t in told] == ["same"] * 4 + ["different"] * 4
    assert look_for_copies(detector, []) == []


def test_a_vector_hangs_on_no_other_picture_of_the_batch(tmp_path):
    """Lost otherwise: edges that depend on what was compared beside them."""
    detector = CopyDetector(saved(tmp_path))
    pictures = [squared(drawing(i), SIDE, Limits()) for i in range(19)]
    together = detector.embed(pictures)
    assert together.shape == (19, 64) and np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together[17], detector.embed(pictures[17:18])[0], atol=1e-5)
    assert CopyDetector(saved(tmp_path)).key == detector.key != CopyDetector(saved(tmp_path, 6)).key


class Flat(torch.nn.Module):
    """Gives no vector for each picture."""

    def __init__(self, seed: int) -> None:
        super().__init__()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=[1, 2, 3])


@pytest.mark.parametrize("content", ["garbage", "another network"])
def test_a_file_that_is_no_such_network_is_refused_plainly(tmp_path, content):
    """Lost otherwise: a stack of C++ frames, or edges by numbers that mean nothing."""
    file = saved(tmp_path, network=Flat)
    if content == "garbage":
        file.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CopyDetectorError, match=file.name):
        CopyDetector(file).embed([np.zeros((SIDE, SIDE, 3), np.uint8)])


class Doubting(torch.nn.Module):
    """Mixes pixels one by one: what was encoded again is another picture to it."""

    def __init__(self, seed: int) -> None:
        super().__init__()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        fine = torch.sin(pictures[:, :, ::8, ::8].flatten(1) * 5000.0)
        return fine - fine.mean(dim=1, keepdim=True)


def test_an_edge_needs_the_network_that_was_named(
    site: Site, in_process: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Lost otherwise: a setting that changes nothing, or edges of one network under the name of another."""
    files = {"1.png": drawing(1), "2.jpg": smaller(drawing(1))}
    rows = [talk("1", "1.png"), talk("2", "2.jpg", question="And what else?")]
    site.add("ants", {"a.jsonl": jsonl(rows), **files})
    ingest(site.platform(), "ants")

    def near() -> list[str]:
        platform = site.platform()
        materialize_duplicate_ledger(platform, "ants", "run")
        kinds = platform.store.require(DUPLICATE_LEDGER, "ants").read(["kind"]).column(0).to_pylist()
        return [kind for kind in kinds if kind == "near_image"]

    assert near() == ["near_image"]
    monkeypatch.setenv("INFINITY_COPY_DETECTOR", str(saved(tmp_path, network=Doubting)))
    assert near() == []
    monkeypatch.setenv("INFINITY_COPY_DETECTOR", str(saved(tmp_path)))
    assert near() == ["near_image"]
