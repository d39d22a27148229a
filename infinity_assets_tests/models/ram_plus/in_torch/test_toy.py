"""Without these, the tags are those of chance, or depend on the engine and on what is tagged beside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from infinity_assets.models.ram_plus.checkpoint import WeightsError, file_sha256, load
from infinity_assets.models.ram_plus.preprocess import squared
from infinity_assets.models.ram_plus.runners import OnnxRunner, TorchRunner, export_onnx
from infinity_assets.models.ram_plus.tagger import RamPlusFiles, open_ram_plus
from infinity_assets.models.ram_plus.vocabulary import load_tags
from infinity_assets.models.taggers.protocol import Picture
from infinity_assets_tests.models.ram_plus.toy.drawings import TAGS, draw, drawings

TOY = Path(__file__).resolve().parents[1] / "toy"
WEIGHTS = TOY / "toy.safetensors"
HELD_OUT = 5_000_000  #: a seed that neither training nor calibration reaches


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    return load(WEIGHTS)


def logits_of(runner, pixels, size):
    return np.concatenate(list(runner.run(pixels[i : i + size] for i in range(0, len(pixels), size))))


def test_weights_are_those_that_the_script_made():
    assert file_sha256(WEIGHTS) == (TOY / "toy.sha256").read_text().strip()
    assert WEIGHTS.stat().st_size <= 4_000_000


def test_tags_of_drawings_never_seen_are_right(network):
    """The whole network has to work for this: windows, shifts, descriptions, queries and thresholds."""
    pixels, truth = drawings(HELD_OUT, 400)
    logits = logits_of(TorchRunner(network, device="cpu", dtype="float32"), pixels, 100)
    listed = load_tags(TOY / "tags.txt", TOY / "thresholds.txt")
    assert listed.tags == TAGS
    kept = (logits > np.array(list(listed.cuts.values()))) & (logits >= 1.4)
    assert (kept & truth).sum() / kept.sum() >= 0.9
    assert (kept & truth).sum() / truth.sum() >= 0.6
    by_chance = truth.mean()
    assert by_chance < 0.3  # so that 0.9 says something


@pytest.mark.parametrize("size", [1, 7, 64])
def test_batch_does_not_change_a_picture(network, size):
    """A rerun that cuts a source otherwise would give other tags."""
    pixels, _ = drawings(7, 64)
    runner = TorchRunner(network, device="cpu", dtype="float32")
    assert np.abs(logits_of(runner, pixels, size) - logits_of(runner, pixels, 16)).max() < 1e-4


def test_half_precision_keeps_nearly_every_tag(network):
    """bf16 is the default of large runs; it must not move tags across their thresholds by more than noise."""
    pixels, _ = drawings(8, 200)
    full = logits_of(TorchRunner(load(WEIGHTS), device="cpu", dtype="float32"), pixels, 50)
    half = logits_of(TorchRunner(load(WEIGHTS), device="cpu", dtype="bfloat16"), pixels, 50)
    assert ((full >= 1.4) == (half >= 1.4)).mean() > 0.99


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "toy.onnx"
    export_onnx(load(WEIGHTS), path)
    return path


@pytest.mark.parametrize("size", [1, 2, 5])
def test_onnx_gives_the_same_logits_for_batches_of_any_size(network, exported, size):
    """Who serves with onnxruntime must get the tags that torch would give."""
    pixels, _ = drawings(9, 10)
    torch_runner, onnx_runner = TorchRunner(network, device="cpu", dtype="float32"), OnnxRunner(exported)
    assert (onnx_runner.side, onnx_runner.tags) == (torch_runner.side, torch_runner.tags) == (64, 15)
    assert np.abs(logits_of(onnx_runner, pixels, size) - logits_of(torch_runner, pixels, 10)).max() < 1e-4


def test_onnx_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="onnxruntime cannot load it"):
        OnnxRunner(tmp_path / "x.onnx")


def test_compiled_network_gives_the_same_and_pads_the_last_batch(network, monkeypatch):
    """A batch of another size would be compiled anew, for a minute, at the end of every shard."""
    shapes = []
    monkeypatch.setattr(torch, "compile", lambda n: lambda x: (shapes.append(tuple(x.shape)), n(x))[1])
    pixels, _ = drawings(10, 10)
    runner = TorchRunner(network, device="cpu", dtype="float32", compiled=True)
    plain = TorchRunner(network, device="cpu", dtype="float32")
    assert np.abs(logits_of(runner, pixels, 4) - logits_of(plain, pixels, 4)).max() < 1e-4
    assert {shape[0] for shape in shapes} == {4}


@pytest.mark.parametrize("shape", [(7, 9), (64, 64), (300, 200), (33, 500)])
def test_pixels_are_resized_as_an_antialiased_triangle(shape):
    """Another filter shifts every logit of the published weights."""
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    given = squared(pixels, 48)
    assert given.shape == (48, 48, 3)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    other = F.interpolate(image, (48, 48), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(given - other.numpy()).max() <= 1.0  # of 255: Pillow rounds between its two passes


def files(**more):
    named = {"weights": str(WEIGHTS), "tags": str(TOY / "tags.txt"), "dtype": "float32", "batch": 4}
    return RamPlusFiles(**(named | more))


def decode(data: bytes):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_stored_bytes_become_tags_with_logits():
    import random

    r = random.Random(HELD_OUT + 1)
    made = [draw(r, side=200) for _ in range(30)]
    pictures = []
    for number, (image, _) in enumerate(made):
        out = io.BytesIO()
        image.save(out, "PNG")
        pictures.append(Picture(str(number), out.getvalue()))
    found = list(open_ram_plus(files(), decode).tag(pictures))
    assert [row.image_id for row in found] == [p.image_id for p in pictures]
    given = [{t for t, logit in zip(row.tags, row.logits, strict=True) if logit >= 1.4} for row in found]
    right = sum(len(tags & truth) for tags, (_, truth) in zip(given, made, strict=True))
    assert right / sum(map(len, given)) >= 0.9 and right > 60


def test_what_was_seen_is_kept_apart_for_each_model(tmp_path, exported):
    """Tags of other weights, another list or another precision would be taken for those asked for."""
    other = tmp_path / "tags.txt"
    other.write_text("\n".join(reversed(TAGS)))
    hashes = [files().hash(), files(dtype="bfloat16").hash(), files(tags=str(other)).hash()]
    hashes += [files(weights=str(exported)).hash()]
    assert len(set(hashes)) == 4
    copied = tmp_path / "renamed.safetensors"
    copied.write_bytes(WEIGHTS.read_bytes())
    assert files(weights=str(copied), batch=9, thresholds=str(TOY / "thresholds.txt")).hash() == hashes[0]


def test_list_of_another_network_is_refused(tmp_path):
    (tmp_path / "tags.txt").write_text("cat\ndog\n")
    with pytest.raises(WeightsError, match="15 tags, but the list has 2"):
        open_ram_plus(files(tags=str(tmp_path / "tags.txt")), decode)
