"""Without these, a picture is its own example, examples are of other kinds, or change from run to run."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.stages.synthesized.seeds import POOL, Example, Pool, candidates, from_json, to_json
from infinity_assets_tests.stages.synthesized.test_rules import facts

TAGS = st.lists(st.sampled_from(["sky", "dog", "bus", "sign", "tree"]), unique=True).map(tuple)


def example(number: int, tags: tuple[str, ...], image: int) -> Example:
    return Example(f"s-{number:032x}", "s", 0, f"{image:032x}", tags)


@given(st.lists(st.tuples(TAGS, st.integers(0, 6)), max_size=20), TAGS, st.integers(0, 6), st.integers(0, 4))
def test_examples_are_the_nearest_by_tags_and_no_picture_twice(given_examples, tags, image, count):
    found = [example(n, t, i) for n, (t, i) in enumerate(given_examples)]
    picture = facts(image_id=f"{image:032x}", tags=tags)
    chosen = Pool({"colour": found}).nearest(picture, "colour", count)
    shuffled = random.Random(1).sample(found, len(found))
    assert Pool({"colour": shuffled}).nearest(picture, "colour", count) == chosen
    shown = [e.image_id for e in chosen]
    assert len(set(shown)) == len(shown) <= count and picture.image_id not in shown
    others = {e.image_id for e in found} - {picture.image_id}
    assert len(chosen) == min(count, len(others))

    def jaccard(e: Example) -> float:
        return len(set(e.tags) & set(tags)) / max(1, len(set(e.tags) | set(tags)))

    best: dict[str, float] = {}
    for e in found:
        if e.image_id in others:
            best[e.image_id] = max(best.get(e.image_id, 0.0), jaccard(e))
    assert [jaccard(e) for e in chosen] == sorted(best.values(), reverse=True)[: len(chosen)]


def test_kinds_do_not_mix_and_a_kind_without_seeds_has_none():
    pool = Pool({"colour": [example(1, ("sky",), 1)]})
    assert pool.nearest(facts(image_id="f" * 32, tags=("sky",)), "shape", 2) == []


def test_the_pool_is_the_same_however_the_seed_set_is_read():
    """Batches, and the order of sources, must not choose other examples: each other one is paid for."""
    rng = random.Random(5)
    ids = [f"s-{rng.getrandbits(128):032x}" for _ in range(3 * POOL)]
    leaves = [rng.choice([["colour"], ["shape", "colour"], [None], [], ["colour", "colour"]]) for _ in ids]
    whole = pl.DataFrame({"sample_id": ids, "instruction_l3": pl.Series(leaves, dtype=pl.List(pl.String))})
    one = candidates([("a", whole)])
    cut = candidates(("a", piece) for piece in reversed(list(whole.iter_slices(100))))
    assert one.equals(cut)
    assert one.group_by("leaf").len()["len"].max() <= 2 * POOL
    assert set(one["leaf"]) == {"colour", "shape"}
    both = [i for i, leaf in zip(ids, leaves, strict=True) if leaf == ["shape", "colour"]]
    exchanges = one.filter(pl.col("sample_id").is_in(both), leaf="colour")["exchange"]
    assert set(exchanges) == {1}, "the exchange that asks so, not the first one"


def test_a_remembered_pool_is_read_as_it_was_written():
    import json

    pool = {"colour": [example(1, ("sky", "dog"), 1), example(2, (), 2)], "shape": []}
    assert from_json(json.loads(json.dumps(to_json(pool)))) == pool
