from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.stages.mixed.plan import MIX_REASONS, MixPlan, plan_mix, print_summary
from infinity_assets.stages.mixed.spec import MixSpec, Part

SCHEMA = {
    "sample_id": pl.String,
    "source": pl.String,
    "category": pl.String,
    "tokens": pl.Int32,
    "obstacle": pl.String,
}


def eligible(**sizes: int) -> pl.DataFrame:
    """``a_general=3``: three samples of source ``a``, category ``general``, 10 tokens each."""
    rows = []
    for name, size in sizes.items():
        source, category = name.split("_", 1)
        rows += [(f"{source}-{i:032x}", source, category, 10, None) for i in range(size)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def times(plan: MixPlan) -> dict[str, int]:
    return {r["sample_id"]: r["times"] for r in plan.rows.to_dicts() if r["times"]}


def realised(plan: MixPlan) -> dict[str, int]:
    return {r["source"]: r["realised"] for r in plan.summary.to_dicts() if r["source"]}


def test_quotas_are_met_exactly_and_every_sample_has_a_row() -> None:
    """Otherwise the mix would not be what was decided, or a sample would vanish without a reason."""
    spec = MixSpec(quotas={"general": 30, "text": 5})
    plan = plan_mix(eligible(a_general=40, b_general=20, c_text=9, d_ocr=4), "3", spec, {})
    assert realised(plan) == {"a": 20, "b": 10, "c": 5, "d": 0}
    assert len(plan.rows) == 73
    assert plan.rows.filter((pl.col("times") == 0) & pl.col("reason").is_null()).is_empty()
    assert plan.rows.filter((pl.col("times") > 0) & pl.col("reason").is_not_null()).is_empty()
    counts = dict(plan.rows.drop_nulls("reason").group_by("reason").len().iter_rows())
    assert counts == {"over_quota": 34, "no_quota": 4}
    assert plan.lines == 35 and plan.tokens == 350


def test_positions_number_the_lines_without_holes() -> None:
    """Otherwise an export could not tell which line comes next."""
    plan = plan_mix(eligible(a_general=30), "3", MixSpec(epochs=3), {})
    positions = plan.rows["positions"].explode().to_list()
    assert sorted(positions) == list(range(90))
    assert plan.rows["positions"].list.len().to_list() == [3] * 30


def test_the_plan_does_not_depend_on_the_order_of_its_input() -> None:
    """Otherwise the same data would train another model after a backfill in another order."""
    frame = eligible(a_general=300, b_text=200)
    spec = MixSpec(quotas={"general": 100, "text": 300}, epochs=2, token_budget=2500)
    one = plan_mix(frame, "3", spec, {"a": 80})
    for seed in range(3):
        other = plan_mix(frame.sample(fraction=1, shuffle=True, seed=seed), "3", spec, {"a": 80})
        assert other.hash == one.hash and other.rows.equals(one.rows)


def test_seed_and_stage_change_the_choice() -> None:
    """Otherwise every training stage would read the same part of a source."""
    frame = eligible(a_general=1000)
    spec = MixSpec(quotas={"general": 100})
    plans = [plan_mix(frame, "3", spec, {}), plan_mix(frame, "4", spec, {})]
    plans.append(plan_mix(frame, "3", spec.model_copy(update={"seed": 1}), {}))
    assert len({p.hash for p in plans}) == 3
    assert len(set(times(plans[0])) & set(times(plans[1]))) < 40


def test_a_source_that_grows_moves_few_samples() -> None:
    """Otherwise adding a hundred rows would make a new mix of everything, and no two runs comparable."""
    spec = MixSpec(quotas={"general": 500})
    before = plan_mix(eligible(a_general=1000, b_general=1000), "3", spec, {})
    after = plan_mix(eligible(a_general=1000, b_general=1100), "3", spec, {})
    kept = set(times(before)) & set(times(after))
    assert len(kept) > 450
    order = [i for i, _ in _lines(before) if i in kept]
    assert order == [i for i, _ in _lines(after) if i in kept], "what stays, stays in order"


def _lines(plan: MixPlan) -> list[tuple[str, int]]:
    exploded = plan.rows.filter(pl.col("times") > 0).select("sample_id", "positions").explode("positions")
    return list(exploded.sort("positions").iter_rows())


def test_short_supply_is_stated_and_nothing_is_moved() -> None:
    """Otherwise a mix would silently consist of whatever there was."""
    spec = MixSpec(quotas={"general": 50, "text": 50, "ocr": 7})
    plan = plan_mix(eligible(a_general=20, c_text=900), "3", spec, {})
    rows = {(r["category"], r["source"]): r for r in plan.summary.to_dicts()}
    assert rows["general", "a"]["short"] == 30 and rows["general", "a"]["realised"] == 20
    assert rows["text", "c"]["realised"] == 50
    assert rows["ocr", None] == {
        "category": "ocr",
        "source": None,
        "asked": 7,
        "eligible": 0,
        "selected": 0,
        "realised": 0,
        "short": 7,
        "tokens": 0,
        "share": 0.0,
    }
    assert "ocr" in print_summary(plan.summary.to_dicts())


def test_repeats_fill_a_short_quota_only_where_epochs_allow() -> None:
    """Otherwise a small source would be memorized without anyone having asked for it."""
    frame = eligible(a_general=20)
    plan = plan_mix(frame, "3", MixSpec(quotas={"general": 50}, epochs=3), {})
    assert sorted(times(plan).values()) == [2] * 10 + [3] * 10
    assert plan_mix(frame, "3", MixSpec(quotas={"general": 15}, epochs=3), {}).rows["times"].max() == 1


def test_weights_multiply_a_source_and_zero_leaves_it_out() -> None:
    """Otherwise a data lead could not favour the better source."""
    spec = MixSpec(quotas={"general": 90}, weights={"a": 2.0, "c": 0})
    plan = plan_mix(eligible(a_general=100, b_general=100, c_general=100), "3", spec, {})
    assert realised(plan) == {"a": 60, "b": 30, "c": 0}


def test_caps_of_catalogue_and_mix_both_hold() -> None:
    """Otherwise one huge source would drown the others."""
    spec = MixSpec(caps={"a": 30, "b": 99}, scale=0.5)
    plan = plan_mix(eligible(a_general=100, b_general=100), "3", spec, {"a": 50, "b": 40})
    assert realised(plan) == {"a": 15, "b": 20}
    assert set(plan.rows.drop_nulls("reason")["reason"]) == {"over_cap"}


def test_the_token_budget_is_not_passed_and_nearly_used() -> None:
    """Otherwise a training run would cost more than was agreed."""
    plan = plan_mix(eligible(a_general=100), "3", MixSpec(epochs=2, token_budget=1255), {})
    assert plan.tokens == 1250 and sorted(times(plan).values()) == [1] * 75 + [2] * 25
    small = plan_mix(eligible(a_general=100), "3", MixSpec(token_budget=255), {})
    assert small.tokens == 250
    assert dict(small.rows.drop_nulls("reason").group_by("reason").len().iter_rows()) == {"over_budget": 75}


def test_parts_of_a_cut_are_disjoint_and_complete() -> None:
    """Otherwise stage 2b would train on what 2a has seen, and some samples would never be read."""
    frame = eligible(a_general=3000)
    seen = [
        set(times(plan_mix(frame, stage, MixSpec(part=Part(name="two", index=i, of=3)), {})))
        for i, stage in enumerate(("2a", "2b", "2c"))
    ]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 3000
    assert all(850 < len(part) < 1150 for part in seen)


def test_obstacles_are_kept_as_reasons() -> None:
    """Otherwise a sample without turns would reach a trainer that cannot read it."""
    frame = eligible(a_general=3).with_columns(
        obstacle=pl.Series(["no_conversation", None, None]), tokens=pl.Series([None, 10, 10], dtype=pl.Int32)
    )
    plan = plan_mix(frame, "3", MixSpec(quotas={"general": 10}, epochs=1), {})
    assert plan.rows["reason"].to_list() == ["no_conversation", None, None]
    assert plan.rows["tokens"].to_list()[0] is None
    assert set(MIX_REASONS) >= {"no_conversation", "other_media"}


def test_nothing_eligible_is_an_empty_plan() -> None:
    """Otherwise a stage without sources would fail the run of all others."""
    plan = plan_mix(eligible(), "1", MixSpec(quotas={"caption": 5}), {})
    assert (plan.lines, len(plan.rows), plan.summary["short"].to_list()) == (0, 0, [5])


def test_the_plan_is_the_same_in_years() -> None:
    """Golden: fails if the choice changes without PLANNER_VERSION."""
    plan = plan_mix(
        eligible(a_general=50, b_text=50), "3", MixSpec(quotas={"general": 20, "text": 80}, epochs=2), {}
    )
    assert plan.hash == "32eefd4069f051ba513cdd924838f7ff"


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=2, max_size=5),
    quota=st.integers(0, 120),
    cap=st.integers(1, 60),
    epochs=st.integers(1, 3),
    weight=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
)
def test_lines_never_pass_quota_cap_or_epochs(
    sizes: list[int], quota: int, cap: int, epochs: int, weight: float
) -> None:
    """Whatever is asked, no limit is passed and asked = realised + short."""
    frame = eligible(**{f"s{i}_general": n for i, n in enumerate(sizes)})
    spec = MixSpec(quotas={"general": quota}, caps={"s0": cap}, epochs=epochs, weights={"s1": weight})
    plan = plan_mix(frame, "3", spec, {})
    table = plan.summary
    assert plan.lines == table["realised"].sum() <= quota
    assert (table["realised"] + table["short"] == table["asked"]).all() or quota == 0
    assert plan.rows["times"].max() in {None, *range(epochs + 1)}
    assert len(plan.rows.filter((pl.col("source") == "s0") & (pl.col("times") > 0))) <= cap
    assert sorted(plan.rows["positions"].explode().drop_nulls().to_list()) == list(range(plan.lines))


@pytest.mark.parametrize("reason", MIX_REASONS)
def test_reasons_are_codes(reason: str) -> None:
    """The contract of ``mixed`` refuses anything else."""
    assert reason.replace("_", "").isalpha() and reason.islower()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_mix_has_no_more_samples_about_one_picture_than_it_asks_for(groups: list[int], most: int) -> None:
    """Otherwise ten questions about each of a few pictures crowd out a hundred other pictures."""
    frame = eligible(a_general=len(groups))
    ids = frame["sample_id"].to_list()
    firsts = [ids[groups.index(group)] for group in groups]
    clusters = pl.DataFrame({"sample_id": ids, "cluster": firsts}).filter(
        pl.col("sample_id") != pl.col("cluster")
    )
    plan = plan_mix(frame, "3", MixSpec(max_per_visual_cluster=most), {}, clusters)
    chosen = set(times(plan))
    for first in set(firsts):
        members = {i for i, f in zip(ids, firsts, strict=True) if f == first}
        assert len(members & chosen) == min(most, len(members))
    assert set(plan.rows.drop_nulls("reason")["reason"]) <= {"over_cluster"}
