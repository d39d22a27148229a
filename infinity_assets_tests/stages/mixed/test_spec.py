from __future__ import annotations

from pathlib import Path

import pytest

from infinity_assets.errors import CatalogueError
from infinity_assets.sources.model import TRAINING_STAGES
from infinity_assets.stages.mixed.spec import MixSpec, apportion, load_mixes


def test_the_default_mixes_are_those_of_infinity_mm() -> None:
    """Otherwise "the paper's mix" would be something else than table 2 of arXiv 2410.18558."""
    mixes = load_mixes(None)
    assert tuple(mixes) == TRAINING_STAGES
    sizes = {stage: sum((spec.asked() or {}).values()) for stage, spec in mixes.items()}
    assert sizes == {
        "1": 10_000_000,
        "2a": 8_600_000,
        "2b": 8_600_000,
        "2c": 8_600_000,
        "3": 6_000_000,
        "4": 2_200_000,
    }
    parts = [mixes[s].part for s in ("2a", "2b", "2c")]
    assert [(p.name, p.index, p.of) for p in parts if p] == [("stage_2", i, 3) for i in range(3)]


def test_scale_makes_a_miniature() -> None:
    """Otherwise a small run would have another composition than the full one."""
    spec = MixSpec(quotas={"caption": 1_000_000, "text": 500, "ocr": 0}, scale=0.001)
    assert spec.asked() == {"caption": 1000, "text": 1, "ocr": 0}


def test_shares_add_up_to_the_samples() -> None:
    """Otherwise rounding would lose lines."""
    spec = MixSpec(samples=100, shares={"caption": 1 / 3, "text": 1 / 3, "ocr": 1 / 3})
    assert spec.asked() == {"caption": 34, "ocr": 33, "text": 33}
    assert apportion(7, {"a": 0.0, "b": 1.0}) == {"a": 0, "b": 7}
    assert apportion(7, {"a": 0.0}) == {"a": 0}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("mixes:\n  '1':\n    quotas: {captions: 3}\n", 3, "captions"),
        ("mixes:\n  '1':\n    quotas: {caption: -3}\n", 3, "0 or more"),
        ("mixes:\n  '1':\n    seed: 1\n    quota: {}\n", 4, "Extra inputs"),
        ("mixes:\n  '5':\n    seed: 1\n", 2, "'1', '2a'"),
        ("mixes:\n  '1':\n    samples: 10\n    shares: {caption: 0.5}\n", 2, "add up to 0.5"),
        ("mixes:\n  '2a':\n    part: {name: x, index: 3, of: 3}\n", 3, "not below 3"),
        ("mixes:\n  '1': {seed: 1}\n  '1': {seed: 2}\n", 3, "given twice"),
        ("scale: 0\nmixes:\n  '1': {}\n", 1, "greater than 0"),
        ("mixes: [\n", 2, "not YAML"),
        ("- a\n", 1, "is a mapping"),
    ],
)
def test_a_wrong_file_is_told_by_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    """Otherwise a data lead would search a hundred lines for a typing error."""
    path = tmp_path / "mixes.yaml"
    path.write_text(text)
    with pytest.raises(CatalogueError) as caught:
        load_mixes(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)


def test_a_stage_may_be_written_as_a_number(tmp_path: Path) -> None:
    """Otherwise ``1:`` without quotes, which YAML reads as a number, would be refused."""
    path = tmp_path / "mixes.yaml"
    path.write_text("seed: 7\nmixes:\n  1: {quotas: {caption: 5}}\n  2a: {seed: 8}\n")
    mixes = load_mixes(path)
    assert (mixes["1"].seed, mixes["2a"].seed, mixes["2a"].asked()) == (7, 8, None)
