from __future__ import annotations

from pathlib import Path

import pytest

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.stages.mixed.spec import MixSpec
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.stages.exported.stores import Deployment, Row, publish_source, put, qa


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path, mixes={"3": MixSpec(quotas={"general": 4, "text": 100})})
    rows = [Row(qa(f"Q{i}"), tokens=i) for i in range(8)]
    made.source("alpha", [*rows, Row([]), Row(qa("<video>"), video=True), Row(qa("bad"), verdict="drop")])
    made.source("beta", [Row(qa("T"))] * 3, category="text", caps={"3": 2})
    made.source("exam", [Row(qa("E"))], category="evaluation")
    made.source("other", [Row(qa("O"))], stages=["4"])
    return made


def test_what_enters_a_training_stage(deployment: Deployment) -> None:
    """Otherwise evaluation questions, dropped samples or sources of other stages would be trained on."""
    result = materialize_mixed(deployment, "3", "run")  # type: ignore[arg-type]
    rows = result.published.read().to_pylist()
    assert {r["source"] for r in rows} == {"alpha", "beta"}
    assert len(rows) == result.counts.rows_in == 13
    assert result.counts.reasons == {"no_conversation": 1, "other_media": 1, "over_cap": 1, "over_quota": 4}
    assert result.counts.kept == 6
    assert all(c.passed for c in result.checks)
    assert set(result.published.inputs) == {
        f"{table}/{source}" for table in ("filtered", "unified") for source in ("alpha", "beta")
    }


def test_asked_and_realised_stand_in_the_notes(deployment: Deployment) -> None:
    """Otherwise nobody would see that a mix is short of text."""
    notes = materialize_mixed(deployment, "3", "run").notes  # type: ignore[arg-type]
    rows = {r["source"]: r for r in notes["summary"]}
    assert (rows["beta"]["asked"], rows["beta"]["realised"], rows["beta"]["short"]) == (100, 2, 98)
    assert (notes["lines"], notes["not_published"]) == (6, [])


def test_equal_inputs_commit_nothing(deployment: Deployment) -> None:
    """Otherwise every nightly run would make the exports stale."""
    first = materialize_mixed(deployment, "3", "one")  # type: ignore[arg-type]
    second = materialize_mixed(deployment, "3", "two")  # type: ignore[arg-type]
    assert first.committed and not second.committed
    assert first.published.version == second.published.version


def test_a_source_that_was_never_published_is_named(deployment: Deployment) -> None:
    """Otherwise one broken source would block the mix, or be missing without a word."""
    deployment.catalogue["late"] = deployment.catalogue["alpha"]
    assert materialize_mixed(deployment, "3", "run").notes["not_published"] == ["late"]  # type: ignore[arg-type]


def test_filtered_and_unified_must_belong_together(deployment: Deployment) -> None:
    """Otherwise samples would be planned whose text is gone."""
    put(deployment.store, UNIFIED, "beta", UNIFIED.schema.empty_table())
    with pytest.raises(StoreError, match="beta: 3 samples of filtered are not in unified"):
        materialize_mixed(deployment, "3", "run")  # type: ignore[arg-type]


def test_no_mix_for_a_stage(deployment: Deployment) -> None:
    """Otherwise a typing error would publish an empty plan."""
    with pytest.raises(CatalogueError, match="no mix for training stage '1'; there are: 3"):
        materialize_mixed(deployment, "1", "run")  # type: ignore[arg-type]


def test_a_grown_source_is_planned_anew(deployment: Deployment) -> None:
    """Otherwise new data would never reach training."""
    before = materialize_mixed(deployment, "3", "one")  # type: ignore[arg-type]
    publish_source(deployment.store, "beta", [Row(qa("T"))])
    after = materialize_mixed(deployment, "3", "two")  # type: ignore[arg-type]
    assert after.committed and after.notes["plan_hash"] != before.notes["plan_hash"]
    assert after.notes["lines"] == 5
