"""The score says how well a run did; a score that flatters is worse than none."""

from __future__ import annotations

from typing import Any

import polars as pl

from infinity_assets.demo.defects import KINDS, DemoTruth, Locator, Planted, score

TRUTH = DemoTruth(
    7,
    (
        Planted("corrupt_image", "a", "1", Locator("x.json", 0)),
        Planted("bad_json_line", "a", None, Locator("x.json", 4)),
        Planted("exact_duplicate", "a", "9", Locator("x.json", 8), "g1", [("b", "5")]),
        Planted("wrong_extension", "b", "2", Locator("y.tar", 1, "2")),
        Planted("yes_bias", "b", "3", Locator("y.tar", 2, "3")),
    ),
    {"a": 6, "b": 9},
    {"a": 9, "b": 9},
)


def verdict(source: str, reason: str, verdict: str = "drop", **where: Any) -> dict[str, Any]:
    return {"source": source, "stage": "s", "verdict": verdict, "reason": reason, **where}


def caught(*verdicts: dict[str, Any]) -> dict[str, int]:
    table = score(TRUTH, list(verdicts))
    return dict(zip(table["kind"], table["caught"], strict=True))


def test_nothing_said_nothing_caught() -> None:
    """A run that found nothing must not look good."""
    table = score(TRUTH, [])
    assert table.columns == ["kind", "caught_by", "planted", "caught"]
    assert table["caught"].sum() == 0
    assert table.filter(pl.col("kind") == "(clean)")["planted"].item() == 15


def test_by_native_id_by_row_and_by_member() -> None:
    """Stages name samples differently; each way must count."""
    result = caught(
        verdict("a", "unreadable_image", "quarantine", native_id="1"),
        verdict("a", "bad_json", "quarantine", file="x.json", row=4),
        verdict("b", "wrong_extension", "annotate", file="y.tar", member="2"),
    )
    assert result["corrupt_image"] == result["bad_json_line"] == result["wrong_extension"] == 1
    assert result["(clean)"] == 0


def test_another_reason_or_verdict_does_not_count() -> None:
    """Else any drop would pass for the right one."""
    result = caught(
        verdict("a", "missing_image", "quarantine", native_id="1"),
        verdict("a", "unreadable_image", "drop", native_id="1"),
    )
    assert result["corrupt_image"] == 0
    assert result["(clean)"] == 0, "a broken sample that goes for another reason is missed, not clean"


def test_either_copy_may_go_but_not_both() -> None:
    """Which copy survives is a matter of priority; that one does is not."""
    original, copy = (verdict("b", "exact_pair", native_id="5"), verdict("a", "exact_pair", native_id="9"))
    assert caught(original)["exact_duplicate"] == 1
    assert caught(copy)["exact_duplicate"] == 1
    assert caught(original, copy)["exact_duplicate"] == 1


def test_clean_losses_are_counted_once() -> None:
    """Good data thrown away is the cost of every rule."""
    twice = [verdict("a", "empty_turn", native_id="77"), verdict("a", "repeated_text", native_id="77")]
    assert caught(*twice)["(clean)"] == 1
    assert caught(verdict("b", "empty_turn", native_id="5"))["(clean)"] == 1, (
        "an original is excused only as a copy"
    )
    assert caught(verdict("b", "empty_turn", native_id="2"))["(clean)"] == 1, (
        "an annotated sample should be kept"
    )


def test_bias_is_said_of_the_source() -> None:
    """A share of answers is no property of one row."""
    assert caught(verdict("b", "yes_bias", "annotate"))["yes_bias"] == 1
    assert caught(verdict("a", "yes_bias", "annotate"))["yes_bias"] == 0


def test_frames_and_lists_score_alike() -> None:
    """Stages hand over frames, tests lists."""
    rows = [verdict("a", "unreadable_image", "quarantine", native_id="1")]
    assert score(TRUTH, pl.DataFrame(rows)).equals(score(TRUTH, rows))


def test_order_of_verdicts_does_not_matter() -> None:
    """Workers finish in any order."""
    rows = [
        verdict("b", "exact_pair", native_id="5"),
        verdict("a", "bad_json", "quarantine", file="x.json", row=4),
    ]
    assert score(TRUTH, rows).equals(score(TRUTH, rows[::-1]))


def test_every_kind_is_planted_in_the_demo_table() -> None:
    """A kind without reasons could never be caught."""
    assert all(kind.reasons for kind in KINDS.values())
