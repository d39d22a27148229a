"""How many labelled pairs the second witness gets right, beside what peers go by.

Run: ``python -m benchmarks.duplicate_pictures [--data DIR] [--half held_out] [--each 5]``. The pairs are
those of ``benchmarks/_picture_pairs.py``: real ones labelled by eye in ``duplicate_pictures.csv``, and ones
made from real and drawn pictures. Limits were chosen on the half ``tune``; what is published is ``held_out``.
Beside it, in the same run: equal pHashes, pHash distance of at most 4, and at most 6 with a correlation of 32
x 32 thumbnails above .99. Pairs of which one is of low detail take no near-image edge and are counted apart.
Apart from the shares stands how many candidates are joined of two real sets all of whose pictures differ
(``benchmarks/_all_different.py``).
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks._all_different import all_different
from benchmarks._common import REAL_DATA, report
from benchmarks._pair_bases import Pair
from benchmarks._picture_pairs import all_pairs
from infinity_assets.similarity.crops import crop_hashes, crop_radius
from infinity_assets.similarity.pictures import INVERTED_RADIUS, PHASH_RADIUS, closer, relation_of
from infinity_assets.similarity.signature import unpack
from infinity_assets.stages.images.closeup import closeup
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import ImageMeasures, measure_image

MOST_JOINED = 0.02
LEAST_FOUND = 0.90
TARGET = (
    f"at most {MOST_JOINED:.0%} of different pairs (of those within pHash distance {PHASH_RADIUS}, or that of"
    " crops) joined, and of those of each set whose pictures all differ,"
    f" at least {LEAST_FOUND:.0%} of same pairs found"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair and what each rule says of it."""

    pair: Pair
    distance: int  #: of the pHashes
    candidate: bool  #: within the radius, or a part of one within that of crops
    joined: dict[str, bool]
    recorded: bool  #: as a variant


def main() -> None:
    """Print tables by transformation and by kind and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder of the real data")
    parser.add_argument("--half", choices=("tune", "held_out"), default="held_out")
    parser.add_argument("--each", type=int, default=5, help="transformations of each picture")
    args = parser.parse_args()
    if not (args.data / "clothing_photos").is_dir():
        report("duplicate_pictures", {}, TARGET, None, f"no real pictures in {args.data}; give --data")
        return
    cv2.setNumThreads(1)
    judge = Judge()
    judged: list[Judged] = []
    low = 0
    for pair in all_pairs(args.data.resolve(), args.each):
        if pair.half == args.half:
            said = judge(pair)
            low += said is None
            judged += [] if said is None else [said]
    rules = list(judged[0].joined)
    for label, what in (("same", "found"), ("different", "joined"), ("variant", "joined")):
        _print_table(f"{label}: {what}", [j for j in judged if j.pair.label == label], rules)
    same = [j for j in judged if j.pair.label == "same"]
    near = [j for j in judged if j.pair.label == "different" and j.candidate]
    _print_table("different candidates, by group", near, rules, lambda j: j.pair.group)
    _print_table("same, by group", same, rules, lambda j: j.pair.group)
    figures: dict[str, object] = {
        "half": args.half,
        "same": len(same),
        "same_within_radius": sum(j.distance <= PHASH_RADIUS for j in same),
        "same_candidates": sum(j.candidate for j in same),
        "different_within_radius": sum(j.distance <= PHASH_RADIUS for j in near),
        "different_candidates": len(near),
        "low_detail": low,
        "recorded_as_variant": {
            label: _share(sum(j.recorded for j in part), len(part))
            for label in ("variant", "same", "different")
            if (part := [j for j in judged if j.pair.label == label])
        },
        **judge.milliseconds(),
    }
    for rule in rules:
        found, joined = (sum(j.joined[rule] for j in part) for part in (same, near))
        figures[rule] = {
            "found": _share(found, len(same)),
            "joined": _share(joined, len(near)),
            "precision": _share(found, found + joined),
        }
    wrong: dict[str, float] = {}
    for name, pairs in all_different(args.data.resolve()).items():
        alone = [said for pair in pairs if pair.half == args.half and (said := judge(pair)) is not None]
        _print_table(f"all different: {name}", alone, rules)
        shares = {rule: _share(sum(j.joined[rule] for j in alone), len(alone)) for rule in rules}
        figures[f"all_different_{name}"] = {"candidates": len(alone), **shares}
        wrong[name] = shares["witness"][0]
    found = sum(j.joined["witness"] for j in same) / len(same)
    joined = sum(j.joined["witness"] for j in near) / len(near)
    met = found >= LEAST_FOUND and max(joined, *wrong.values()) <= MOST_JOINED
    why = "" if met else "the tables say which kinds"
    report("duplicate_pictures", figures, TARGET, met, why)


class Judge:
    """Measures each picture once and asks every rule."""

    def __init__(self) -> None:
        self._measured: dict[int, ImageMeasures] = {}
        self._spent: dict[str, list[float]] = {"first_look": [], "second_look": []}

    def __call__(self, pair: Pair) -> Judged | None:
        """What the rules say; None where a picture is of low detail."""
        left, right = (self._measure(data) for data in (pair.left, pair.right))
        assert left.signature is not None and right.signature is not None
        assert left.phash is not None and right.phash is not None
        if left.low_detail or right.low_detail:
            return None
        distance = (int.from_bytes(left.phash) ^ int.from_bytes(right.phash)).bit_count()
        candidate = distance <= PHASH_RADIUS or _cropped(left, right) or _cropped(right, left)
        dark = distance >= 64 - INVERTED_RADIUS
        witness = first = recorded = False
        if candidate or dark:
            start = time.process_time()
            looked = relation_of((left.signature, right.signature, dark))
            first = witness = looked.placement is not None
            recorded = looked.relation == "variant"
            self._spent["first_look"].append(time.process_time() - start)
        if witness:
            start = time.process_time()
            pictures = closeup(pair.left, Limits()), closeup(pair.right, Limits())
            assert looked.placement is not None
            witness = closer(*pictures, looked.placement).relation == "same"
            self._spent["second_look"].append(time.process_time() - start)
        alike = _correlation(left.signature, right.signature)
        joined = {
            "witness": witness,
            "first_look_alone": first,
            "phash_equal": distance == 0,
            "phash_4": distance <= 4,
            "phash_6_and_correlation": distance <= 6 and alike > 0.99,
        }
        return Judged(pair, distance, candidate, joined, recorded)

    def milliseconds(self) -> dict[str, float]:
        """Mean CPU milliseconds of each look."""
        return {f"{look}_ms": round(1e3 * float(np.mean(spent)), 1) for look, spent in self._spent.items()}

    def _measure(self, data: bytes) -> ImageMeasures:
        key = hash(data)
        if key not in self._measured:
            self._measured[key] = measure_image(data, None, Limits())
        row = self._measured[key]
        assert row.verdict == "keep", row.detail
        return row


def _cropped(whole: ImageMeasures, crop: ImageMeasures) -> bool:
    assert whole.signature is not None and crop.phash is not None
    parts = crop_hashes(whole.signature)
    apart = np.bitwise_count(parts ^ np.uint64(int.from_bytes(crop.phash)))
    return bool(apart.min() <= crop_radius(PHASH_RADIUS))


def _correlation(a: bytes, b: bytes) -> float:
    x, y = (
        cv2.resize(unpack(s).luma, (32, 32), interpolation=cv2.INTER_AREA).astype(float).ravel()
        for s in (a, b)
    )
    return float(np.corrcoef(x, y)[0, 1]) if x.std() and y.std() else 0.0


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % bounds of a share (Wilson 1927)."""
    z = 1.959964
    if of == 0:
        return 0.0, 1.0
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(hits: int, of: int) -> list[float]:
    low, high = wilson(hits, of)
    return [round(hits / of, 4) if of else 0.0, round(low, 4), round(high, 4)]


def _print_table(
    title: str, judged: list[Judged], rules: list[str], by: Callable[[Judged], str] = lambda j: j.pair.kind
) -> None:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[by(one)].append(one)
    print(f"\n{title:<34}{'pairs':>6}{'met':>7}  {'witness, 95 % bounds':<26}", end="")
    print("".join(f"{rule[:16]:>18}" for rule in rules[1:]))
    for name, part in [*sorted(groups.items()), ("all", judged)]:
        if not part:
            continue
        near = sum(j.candidate for j in part)
        share, low, high = _share(sum(j.joined["witness"] for j in part), len(part))
        others = (sum(j.joined[rule] for j in part) / len(part) for rule in rules[1:])
        print(f"{name:<34}{len(part):>6}{near:>7}  {share:6.1%} ({low:.1%} to {high:.1%})".ljust(75), end="")
        print("".join(f"{other:>18.1%}" for other in others))


if __name__ == "__main__":
    main()
