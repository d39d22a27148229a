"""Without these, tags are given under each other's names, or counted from the wrong probability on."""

from __future__ import annotations

import math

import pytest

from infinity_assets.models.ram_plus.checkpoint import WeightsError, renamed
from infinity_assets.models.ram_plus.config import SWIN_L, TINY, RamPlusConfig
from infinity_assets.models.ram_plus.vocabulary import load_tags
from infinity_assets_tests.models.ram_plus.published import FOLDER, published_shapes


def write(folder, tags, thresholds=None):
    (folder / "tags.txt").write_bytes(tags)
    if thresholds is None:
        return folder / "tags.txt", None
    (folder / "thresholds.txt").write_bytes(thresholds)
    return folder / "tags.txt", folder / "thresholds.txt"


@pytest.mark.parametrize(
    ("tags", "thresholds", "says"),
    [
        (b"", None, "holds no tag"),
        (b"cat\n\ndog\n", None, "tags.txt:2: empty"),
        (b"cat\ndog\ncat\n", None, "tags.txt:3: 'cat' stands in line 1"),
        (b"cat\n\xff\n", None, "not UTF-8 at byte 4"),
        (b"cat\ndog\n", b"0.5\n", "1 thresholds for the 2 tags"),
        (b"cat\ndog\n", b"0.5\nhigh\n", "thresholds.txt:2: 'high'"),
        (b"cat\n", b"nan\n", "thresholds.txt:1"),
        (b"cat\n", b"1.5\n", "thresholds.txt:1"),
    ],
)
def test_list_that_does_not_fit_is_refused_by_file_and_line(tmp_path, tags, thresholds, says):
    """One line too few would give every later tag its neighbour's name or threshold."""
    with pytest.raises(WeightsError, match=says):
        load_tags(*write(tmp_path, tags, thresholds))


def test_threshold_is_a_probability_and_one_means_never(tmp_path):
    """A disabled tag must not come back, and a cut in the wrong scale would keep nearly everything."""
    found = load_tags(*write(tmp_path, b"cat\ndog\nbus", b"0.5\n1.0\n0.8\n"))
    assert found.cuts["cat"] == 0 and found.cuts["dog"] == math.inf
    assert found.cuts["bus"] == pytest.approx(math.log(4))
    assert load_tags(*write(tmp_path, b"cat\n")).thresholds == (0.5,)


@pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared")
def test_published_lists_are_read_whole():
    """The lists that people have are those published: 4,585 lines without an end to the last."""
    found = load_tags(FOLDER / "ram_tag_list.txt", FOLDER / "ram_tag_list_threshold.txt")
    assert len(found.tags) == SWIN_L.tags and found.thresholds.count(0.65) == 3414
    assert min(found.thresholds) == 0.45 and max(found.thresholds) == 1.0


@pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared")
def test_every_published_name_has_its_place():
    """A tensor that no rule knows must stop the conversion, not be left out."""
    names = renamed(published_shapes())
    kept = [name for name in names.values() if name is not None]
    assert len(kept) == len(set(kept)) == 402 - sum(name is None for name in names.values())
    derived = [name for name, ours in names.items() if ours is None]
    assert all(name.endswith(("attn_mask", "relative_position_index")) for name in derived)


def test_name_that_no_rule_knows_is_told():
    """Another model's checkpoint must be refused by name."""
    with pytest.raises(WeightsError, match=r"unknown names: visual_encoder\.head\.weight"):
        renamed(["fc.weight", "visual_encoder.head.weight"])


@pytest.mark.parametrize("config", [SWIN_L, TINY])
def test_sizes_travel_with_the_weights(config):
    """A file of weights that forgets its sizes cannot be loaded by anyone."""
    assert RamPlusConfig.loads(config.dumps()) == config


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"depths": [2]}', TINY.dumps().replace("4", "5")])
def test_sizes_that_are_none_are_refused(text):
    """Metadata comes from files; nonsense in it must not become a network."""
    with pytest.raises(ValueError):
        RamPlusConfig.loads(text)


def test_work_of_the_large_network_is_counted():
    """The share of a machine's rate that the benchmark reports stands and falls with this count."""
    # Swin-L at 384 pixels is published as 103.9 GFLOPs, in multiply-adds (arXiv 2103.14030, table 1).
    decoder = 4585 * (768**2 * 2 + 2 * 768 * 3072) * 2
    assert SWIN_L.multiply_adds() == pytest.approx(103.9e9 + decoder, rel=0.05)
