"""Without these, synthesis asks of pictures what does not suit them, and nobody can say why."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.platform import Platform
from infinity_assets.stages.tag_associations.associate import associate
from infinity_assets.stages.tag_associations.policy import load_association_policy
from infinity_assets.stages.tag_associations.schema import HIT_RATE_CHECK
from infinity_assets.stages.tag_associations.stage import materialize_tag_associations
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets_tests.conftest import dedupe, ingest, picture, talk

TREE = load_taxonomy(version=1)
POLICY = load_association_policy(None)
LEAVES = list(TREE.leaves)

#: What a picture of each kind shows, and what is asked of it.
KINDS = {
    "bar_chart": ["chart", "axis", "legend"],
    "animal_count": ["dog", "cat", "grass"],
    "printed_text": ["sign", "poster", "street"],
    "weather": ["sky", "cloud", "grass"],
}


def seed_rows(count: int, noise: float = 0.2, seed: int = 5) -> pa.Table:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        leaf = rng.choice(list(KINDS))
        tags = set(rng.sample(KINDS[leaf], 2)) | {"thing"}
        if rng.random() < noise:
            tags.add(rng.choice(rng.choice(list(KINDS.values()))))
        rows.append(
            {
                "sample_id": f"s-{rng.getrandbits(128):032x}",
                "image_tags": sorted(tags),
                "instruction_l3": [leaf],
            }
        )
    return table_of(rows)


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    names = ("sample_id", "image_tags", "instruction_l3")
    return pa.Table.from_pylist(rows, pa.schema([TAGGED.schema.field(n) for n in names]))


def test_planted_associations_are_found_and_beat_popularity():
    """A chart must lead to chart questions; a tag of every picture must lead nowhere."""
    result = associate(seed_rows(1500), TREE, POLICY)
    rows = {r["pair"]: r for r in result.table.to_pylist()}
    for leaf, tags in KINDS.items():
        own = max(
            (r for r in rows.values() if r["instruction"] == leaf and r["tfidf"]), key=lambda r: r["tfidf"]
        )
        assert own["image_tag"] in tags
        assert own["pmi"] > 0.5
    assert rows["l3/weather/thing"]["tfidf"] is None and abs(rows["l3/weather/thing"]["pmi"]) < 0.1
    assert result.metrics["hit_rate@1"] > 0.9 > result.metrics["popularity@1"]
    assert result.metrics["held_out"] > 100


def test_noise_does_not_pass_for_knowledge():
    """Where tags say nothing the hit rate must say so, or nobody notices a seed set that is no good."""
    rng = random.Random(1)
    rows = seed_rows(2000).to_pylist()
    for row in rows:
        row["instruction_l3"] = [rng.choice(list(KINDS))]
    metrics = associate(table_of(rows), TREE, POLICY).metrics
    assert metrics["hit_rate@1"] < 0.4 and metrics["popularity@1"] < 0.4


def test_rare_leaf_says_nothing_of_its_own():
    """Three samples are no evidence: such a leaf leans on its group."""
    rows = seed_rows(300).to_pylist()
    rows += [
        {"sample_id": f"r-{i:032x}", "image_tags": ["snow"], "instruction_l3": ["season"]} for i in range(3)
    ]
    found = {r["pair"]: r for r in associate(table_of(rows), TREE, POLICY).table.to_pylist()}
    assert found["l3/season/snow"]["tfidf"] is None and found["l3/season/snow"]["instruction_support"] == 3
    assert found["l2/image_scene/snow"]["tfidf"] is not None


sample = st.fixed_dictionaries(
    {
        "sample_id": st.integers(0, 2**128 - 1).map(lambda i: f"s-{i:032x}"),
        "image_tags": st.lists(st.sampled_from("abcdef"), max_size=4, unique=True),
        "instruction_l3": st.lists(st.sampled_from([*LEAVES[:5], "sharpness", "no leaf", None]), max_size=3),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(sample, max_size=30, unique_by=lambda r: r["sample_id"]), st.randoms())
def test_counts_are_those_of_a_plain_count_in_any_order(rows, shuffler):
    """The vectorised count must be the count; and the order of sources must not show."""
    policy = replace_support(2)
    result = associate(table_of(rows), TREE, policy)
    expected: dict[str, int] = {}
    for row in rows:
        for leaf in {TREE.resolve(i or "") for i in row["instruction_l3"]} - {None}:
            for tag in row["image_tags"]:
                expected[f"l3/{leaf}/{tag}"] = expected.get(f"l3/{leaf}/{tag}", 0) + 1
    found = {r["pair"]: r["count"] for r in result.table.to_pylist() if r["level"] == "l3"}
    assert found == expected
    shuffler.shuffle(rows)
    again = associate(table_of(rows), TREE, policy)
    assert again.table.equals(result.table) and again.metrics == result.metrics


def replace_support(least: int):
    return POLICY.model_copy(update={"min_support": least})


def small(site, name: str, colour: str, count: int = 3) -> None:
    files = {f"{i}.png": picture(hash_of(name) + i) for i in range(count)}
    rows = [
        talk(f"{name}{i}", f"{i}.png", question="What colour is the car?", answer=f"The car is {colour}.")
        for i in range(count)
    ]
    site.add(name, {**files, "rows.json": json.dumps(rows).encode()})


def hash_of(name: str) -> int:
    return sum(map(ord, name)) * 1000


def tag(platform: Platform, name: str):
    ingest(platform, name)
    dedupe(platform, name)
    return materialize_tagged(platform, name, "test")


def test_seed_set_moves_only_when_a_person_moves_it(site):
    """A new sample anywhere would otherwise change every plan, and pay for every answer again."""
    small(site, "one", "red")
    platform = site.platform()
    tag(platform, "one")
    first = materialize_tag_associations(platform, "r1")
    assert first.committed and first.notes["queries"] == 3
    small(site, "one", "red", count=4)
    small(site, "two", "green")
    platform = site.platform()
    tag(platform, "one"), tag(platform, "two")
    second = materialize_tag_associations(platform, "r2")
    assert not second.committed and second.notes["queries"] == 3
    (site.catalogue / "associations.yaml").write_text(policy_file(revision=2))
    third = materialize_tag_associations(site.platform(), "r3")
    assert third.committed and third.notes["queries"] == 7
    assert set(third.published.inputs) == {"tagged/one", "tagged/two"}


def test_source_that_failed_at_first_counts_once_it_is_mended(site):
    """Else one bad file on the first day would steer what is synthesized for good."""
    small(site, "one", "red")
    small(site, "two", "green")
    platform = site.platform()
    tag(platform, "one")
    first = materialize_tag_associations(platform, "r1")
    assert first.notes["missing"] == ["two"] and first.notes["queries"] == 3
    assert not materialize_tag_associations(site.platform(), "r2").committed
    tag(site.platform(), "two")
    mended = materialize_tag_associations(site.platform(), "r3")
    assert mended.committed and mended.notes["missing"] == [] and mended.notes["queries"] == 6
    small(site, "one", "red", count=4)
    tag(site.platform(), "one")
    assert not materialize_tag_associations(site.platform(), "r4").committed, "it is whole, and pinned"


def test_equal_counts_of_another_seed_set_are_another_version(site):
    """Else a renamed seed set would be pinned anew at every run, in silence."""
    small(site, "one", "red")
    platform = site.platform()
    tag(platform, "one")
    first = materialize_tag_associations(platform, "r1")
    (site.catalogue / "associations.yaml").write_text(policy_file(revision=2))
    second = materialize_tag_associations(site.platform(), "r2")
    assert second.committed and second.published.data_version != first.published.data_version
    assert second.published.shards[0].digest == first.published.shards[0].digest


def policy_file(revision: int, sources: str = "{}") -> str:
    content = json.loads(POLICY.model_dump_json())
    content["seed"] = {"name": "first", "revision": revision, "sources": json.loads(sources)}
    return json.dumps(content)


def test_pinned_version_is_read_or_its_loss_is_told(site):
    """A pin that silently reads something else is no pin."""
    small(site, "one", "red")
    platform = site.platform()
    old = tag(platform, "one").published.data_version
    small(site, "one", "red", count=5)
    tag(site.platform(), "one")
    (site.catalogue / "associations.yaml").write_text(policy_file(1, f'{{"one": "{old}"}}'))
    assert materialize_tag_associations(site.platform(), "r1").notes["queries"] == 3
    (site.catalogue / "associations.yaml").write_text(policy_file(2, f'{{"one": "{"0" * 32}"}}'))
    with pytest.raises(StoreError, match="never published with data version"):
        materialize_tag_associations(site.platform(), "r2")


def test_benchmark_in_the_seed_set_is_refused(site):
    """What a benchmark asks must never steer what is synthesized."""
    small(site, "one", "red")
    site.add("bench", {"rows.json": b"[]"}, category="evaluation")
    (site.catalogue / "associations.yaml").write_text(policy_file(1, '{"bench": null}'))
    with pytest.raises(CatalogueError, match="benchmark"):
        materialize_tag_associations(site.platform(), "r1")


def test_check_says_when_it_cannot_say(site):
    """A green check on three samples would be read as a promise."""
    small(site, "one", "red")
    platform = site.platform()
    tag(platform, "one")
    result = materialize_tag_associations(platform, "r1")
    (check,) = [c for c in result.checks if c.name == HIT_RATE_CHECK]
    assert not check.passed and not check.blocking and "say nothing" in check.description
