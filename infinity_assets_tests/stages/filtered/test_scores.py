"""Without these, scores mark other samples than the policy says, or a mix takes what it ruled out."""

from __future__ import annotations

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.fake import FakeServer
from infinity_assets.stages.filtered.policy import DEFAULT, load_policy
from infinity_assets.stages.filtered.scores import LossPolicy, loss_cuts
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets_tests.conftest import samples
from infinity_assets_tests.stages.scored.servers import add_samples, name_engine, rating, tagged

KINDS = ["counting", "what", None]
SCORED = st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 20, width=32)), max_size=60)


def frame(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"kind": pl.String, "loss": pl.Float32}, orient="row")


@given(SCORED, st.floats(1, 99), st.randoms(use_true_random=False))
def test_a_cut_leaves_its_share_whatever_the_order(rows, percentile, random):
    """A cut that depends on shards or order would drop other samples at each run."""
    policy = LossPolicy(percentile=percentile, min_samples=10)
    cuts, otherwise = loss_cuts(frame(rows), policy)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert loss_cuts(frame(shuffled), policy) == (cuts, otherwise)
    for kind in ("counting", "what"):
        losses = [loss for name, loss in rows if name == kind]
        assert (kind in cuts) == (len(losses) >= 10)
        above = sum(loss > cuts.get(kind, 1e9) for loss in losses)
        assert above <= (1 - percentile / 100) * len(losses) + 1
    assert (otherwise is not None) == (len(rows) >= 10)


def test_no_percentile_no_cut():
    """Switching the rule off must switch it off."""
    assert loss_cuts(frame([("what", 1.0)] * 200), LossPolicy(percentile=None)) == ({}, None)


@pytest.fixture
def scored_site(site):
    """Six samples; one has a high loss, one bad ratings."""
    add_samples(site)
    (site.catalogue / "mixes.yaml").write_text(yaml.safe_dump({"mixes": {"3": {}}}))
    with FakeServer(lambda body: rating(lambda axis: 1 if "number 2" in str(body) else 5)(body)) as server:
        name_engine(site, server)
        tagged(site.platform())
        materialize_scored(site.platform(), "photos", "test")
    return site


def with_scores(site, **rules):
    policy = yaml.safe_load(DEFAULT.read_text())
    for name, change in rules.items():
        policy["scores"][name] |= change
    path = site.folder / "policy.yaml"
    path.write_text(yaml.safe_dump(policy))
    platform = site.platform()
    platform.__dict__["policy"] = load_policy(path)
    return platform


def test_scores_are_marked_by_default_and_dropped_where_the_policy_says(scored_site):
    """Ratings that nobody can decide on were paid for in vain; and nothing may vanish unasked."""
    marked = materialize_filtered(scored_site.platform(), "photos", "r1")
    found = {row["sample_id"]: row for row in samples(marked) if "low_relevance" in row["findings"]}
    assert len(found) == 1 and marked.counts.kept == 6
    (row,) = found.values()
    assert {"low_formatting", "low_visual_dependency", "low_image_correspondence"} <= set(row["findings"])
    dropped = materialize_filtered(with_scores(scored_site, low_relevance={"action": "drop"}), "photos", "r2")
    (gone,) = [row for row in samples(dropped) if row["verdict"] == "drop"]
    assert gone["sample_id"] in found and gone["reason"] == "low_relevance"
    assert gone["detail"] == "relevance 1 is below 3"
    strict = with_scores(scored_site, high_loss={"action": "drop", "percentile": 50, "min_samples": 1})
    assert materialize_filtered(strict, "photos", "r3").notes["loss_cuts"]["*"] == 0.5


def test_without_scores_nothing_changes_and_new_ones_read_no_text(site, monkeypatch):
    """A stage that is switched off must not be needed; one that is switched on must not measure anew."""
    add_samples(site)
    tagged(site.platform())
    before = materialize_filtered(site.platform(), "photos", "r1")
    assert before.counts.kept == 6
    with FakeServer(rating(lambda axis: 1)) as server:
        name_engine(site, server)
        materialize_scored(site.platform(), "photos", "test")
    monkeypatch.setattr("infinity_assets.stages.filtered.stage.filter_batch", None)
    after = materialize_filtered(site.platform(), "photos", "r2")
    assert all("low_formatting" in row["findings"] for row in samples(after))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"without": ["blury"]}, "no such mark: blury"),
        ({"scores": {"loss": {}}}, "give min, max"),
        ({"scores": {"beauty": {"min": 1}}}, "beauty"),
        ({"scores": {"loss": {"min": 2, "max": 1}}}, "min not above max"),
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused(site, asked, told):
    """A mark that no rule gives keeps nothing out, and nobody notices."""
    add_samples(site)
    (site.catalogue / "mixes.yaml").write_text(yaml.safe_dump({"mixes": {"3": asked}}))
    with pytest.raises(CatalogueError, match=told):
        _ = site.platform().mixes


@pytest.mark.parametrize(
    ("asked", "reasons"),
    [
        ({"without": ["low_relevance"]}, {"marked": 1}),
        ({"scores": {"relevance": {"min": 2}}}, {"score_out_of_bounds": 1}),
        ({"scores": {"loss": {"max": 0.4}}}, {"score_out_of_bounds": 6}),
        ({"scores": {"loss": {"max": 0.6}, "visual_dependency": {"min": 1}}}, {}),
    ],
)
def test_a_mix_decides_by_marks_and_scores(scored_site, asked, reasons):
    """Marks that no mix can heed are decoration."""
    (scored_site.catalogue / "mixes.yaml").write_text(yaml.safe_dump({"mixes": {"3": asked}}))
    materialize_filtered(scored_site.platform(), "photos", "test")
    counts = materialize_mixed(scored_site.platform(), "3", "test").counts
    assert (counts.rows, counts.reasons) == (6, reasons)
