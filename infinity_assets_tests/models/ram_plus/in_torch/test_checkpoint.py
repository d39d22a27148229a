"""Without these, weights of something else are loaded, or a downloaded file runs code."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infinity_assets.models.ram_plus import __main__ as command
from infinity_assets.models.ram_plus import checkpoint
from infinity_assets.models.ram_plus.checkpoint import RULES, WeightsError, file_sha256, load, save, shapes
from infinity_assets.models.ram_plus.config import SWIN_L, TINY
from infinity_assets.models.ram_plus.network import RamPlus
from infinity_assets.models.ram_plus.swin import apart, relative_positions
from infinity_assets_tests.models.ram_plus.published import FOLDER, published_shapes

#: SHA-256 of the sorted lines "name shape" of all parameters of the large network, from the published list.
SWIN_L_DIGEST = "09959f87dc04e30ce6e06951e9905d314f12e12513e2b1316bf22c4447e41bf0"


def digest(found):
    lines = sorted(f"{name} {list(shape)}" for name, shape in found.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_large_network_has_the_published_parameters():
    """The real weights would otherwise be refused on the day that someone has them."""
    ours = shapes(SWIN_L)
    assert digest(ours) == SWIN_L_DIGEST
    assert sum(torch.Size(shape).numel() for shape in ours.values()) == 329_493_046
    if FOLDER.exists():
        published = published_shapes()
        names = checkpoint.renamed(published)
        given = {name: published[theirs] for theirs, name in names.items() if name is not None}
        checkpoint.refuse_unlike(ours, given, "published")
        assert digest(given) == SWIN_L_DIGEST


def theirs(config):
    """A network's weights under the published names, with the tables that a checkpoint carries."""
    state = RamPlus(config).state_dict()
    back = {}
    for name in list(published_names(config)):
        (ours,) = checkpoint.renamed([name]).values()
        if ours is not None:
            back[name] = state[ours]
            continue
        side = config.side(int(name.split(".")[2]))
        window = min(side, config.window)
        index = name.endswith("index")
        back[name] = relative_positions(window) if index else apart(side, window, window // 2)
    return back, state


def published_names(config):
    yield from ("label_embed", "reweight_scale")
    for part in ("image_proj", "wordvec_proj", "fc", "visual_encoder.norm"):
        yield from (f"{part}.weight", f"{part}.bias")
    for part in ("patch_embed.proj", "patch_embed.norm"):
        yield from (f"visual_encoder.{part}.weight", f"visual_encoder.{part}.bias")
    for stage, depth in enumerate(config.depths):
        layer = f"visual_encoder.layers.{stage}"
        for block in range(depth):
            for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
                yield from (f"{layer}.blocks.{block}.{part}.{end}" for end in ("weight", "bias"))
            yield f"{layer}.blocks.{block}.attn.relative_position_bias_table"
            yield f"{layer}.blocks.{block}.attn.relative_position_index"
            if block % 2 and config.side(stage) > config.window:
                yield f"{layer}.blocks.{block}.attn_mask"
        if stage + 1 < len(config.depths):
            names = ("reduction.weight", "norm.weight", "norm.bias")
            yield from (f"{layer}.downsample.{name}" for name in names)
    for number in range(config.query_layers):
        layer = f"tagging_head.encoder.layer.{number}"
        cross = [f"crossattention.self.{n}" for n in ("query", "key", "value")]
        cross += ["crossattention.output.dense", "crossattention.output.LayerNorm", "intermediate.dense"]
        for part in (*cross, "output.dense", "output.LayerNorm"):
            yield from (f"{layer}.{part}.{end}" for end in ("weight", "bias"))


@pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared")
def test_names_used_here_are_those_published():
    assert set(published_names(SWIN_L)) == set(published_shapes())


@pytest.fixture
def pickled(tmp_path: Path):
    published, state = theirs(TINY)
    path = tmp_path / "published.pth"
    torch.save({"model": published}, path)
    return path, published, state


def test_published_pickle_becomes_the_same_network(pickled, tmp_path):
    """A tensor under another's name, or one left out, would go unnoticed in the tags."""
    path, _, state = pickled
    checkpoint.convert(path, file_sha256(path), tmp_path / "w.safetensors", TINY)
    loaded = load(tmp_path / "w.safetensors").state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["published.pth", "w.safetensors"]


def test_file_of_another_hash_is_never_opened(pickled, tmp_path):
    """A pickle from elsewhere must not be read at all."""
    path, _, _ = pickled
    with pytest.raises(WeightsError, match="SHA-256 is"):
        checkpoint.convert(path, "0" * 64, tmp_path / "w.safetensors", TINY)
    assert not (tmp_path / "w.safetensors").exists()


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/infinity_ran_code"),)


def test_pickle_with_code_in_it_runs_none(tmp_path):
    """Even a file whose hash was copied from the wrong page must not run."""
    ran = Path("/tmp/infinity_ran_code")
    ran.unlink(missing_ok=True)
    path = tmp_path / "evil.pth"
    torch.save({"model": Evil()}, path)
    with pytest.raises(WeightsError, match="more than tensors"):
        checkpoint.convert(path, file_sha256(path), tmp_path / "w.safetensors", TINY)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match="more than tensors"):
        checkpoint.convert(path, file_sha256(path), tmp_path / "w.safetensors", TINY)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.pop("fc.bias"), r"missing: score\.bias"),
        (lambda m: m.update({"cls.bias": torch.zeros(1)}), r"unknown names: cls\.bias"),
        (lambda m: m.update({"fc.bias": torch.zeros(2)}), r"score\.bias is \(2,\), not \(1,\)"),
        (
            lambda m: m["visual_encoder.layers.0.blocks.0.attn.relative_position_index"].add_(1),
            "not the table of windows of 4",
        ),
        (lambda m: m["visual_encoder.layers.0.blocks.1.attn_mask"].zero_(), "not the table of windows"),
    ],
)
def test_checkpoint_of_another_network_is_refused_by_name(pickled, tmp_path, change, says):
    """Weights that nearly fit give tags that are nearly right, which nobody notices."""
    path, published, _ = pickled
    change(published)
    torch.save({"model": published}, path)
    with pytest.raises(WeightsError, match=says):
        checkpoint.convert(path, file_sha256(path), tmp_path / "w.safetensors", TINY)
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("score.bias"), r"missing: score\.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected: extra"),
        (lambda s: s.update({"descriptions": torch.zeros(3, 64)}), r"descriptions is \(3, 64\)"),
    ],
)
def test_weights_with_a_name_too_few_or_too_many_are_not_loaded(tmp_path, change, says):
    """A layer left at random gives tags too."""
    state = RamPlus(TINY).state_dict()
    change(state)
    save(state, TINY, tmp_path / "w.safetensors", origin="test")
    with pytest.raises(WeightsError, match=says):
        load(tmp_path / "w.safetensors")


def test_file_that_is_no_weights_is_told_so(tmp_path):
    """A text saved under the name of the weights (a download's error page) must be told in one line."""
    path = tmp_path / "w.safetensors"
    for content in (b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a file of RAM"):
            load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not a file of RAM"):
        load(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        file_sha256(tmp_path / "none")


def test_commands_convert_nothing_wrong_and_say_why(pickled, capsys, tmp_path):
    """The one command that a user runs must not print a traceback."""
    path, _, _ = pickled
    out = tmp_path / "w.safetensors"
    assert command.main(["convert", str(path), str(out), "--sha256", "1" * 64]) == 1
    assert "error:" in capsys.readouterr().err
    assert command.main(["convert", str(path), str(out), "--sha256", file_sha256(path)]) == 1
    assert "not the table of windows of 12" in capsys.readouterr().err  # it is not the large network
    assert not out.exists()


def test_every_rule_is_used(pickled):
    """A rule that matches nothing is a name misspelt."""
    import re

    names = list(published_names(TINY))
    assert all(any(re.fullmatch(pattern, name) for name in names) for pattern, _ in RULES)


def test_another_matrix_opens_the_set(tmp_path):
    """Tags of one's own need no new training, only their descriptions."""
    state = RamPlus(TINY).state_dict()
    weights, matrix = tmp_path / "w.safetensors", tmp_path / "m.safetensors"
    save(state, TINY, weights, origin="test")
    rows = state["descriptions"].view(TINY.tags, TINY.descriptions, TINY.joint)
    save_file({"descriptions": rows[[3, 0]].repeat(1, 2, 1)}, matrix)  # repeated: softmax over both halves
    pixels = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        closed, opened = load(weights)(pixels), load(weights, descriptions=matrix, vocabulary=2)(pixels)
    assert torch.allclose(opened, closed[:, [3, 0]], atol=1e-4)
    with pytest.raises(WeightsError, match="2 tags, but the list has 3"):
        load(weights, descriptions=matrix, vocabulary=3)
    save_file({"descriptions": rows[:, :, :5].contiguous()}, matrix)
    with pytest.raises(WeightsError, match=r"\(tags, descriptions, 64\)"):
        load(weights, descriptions=matrix)
    assert load_file(weights).keys() == state.keys()
