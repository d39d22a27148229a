"""Without these, every picture is asked the same, rare kinds are never asked, or lines get lost."""

from __future__ import annotations

import random
from collections import Counter

import polars as pl
import pyarrow as pa
import pytest

from infinity_assets.stages.synthesized.facts import Box
from infinity_assets.stages.synthesized.lines import DROPPED, decide, write_by_rules
from infinity_assets.stages.synthesized.merge import merge
from infinity_assets.stages.synthesized.plan import Suits, plan_lines, suits
from infinity_assets.stages.synthesized.policy import load_synthesis_policy
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN, SYNTHESIS_QA
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets_tests.stages.synthesized.test_rules import facts

TREE = load_taxonomy(version=1)
POLICY = load_synthesis_policy(None)
KINDS = ["colour", "presence", "object_count", "weather", "printed_text", "shape"]


def weights(**by_tag: dict[str, float]) -> Suits:
    rows = [
        {"pair": f"l3/{leaf}/{tag}", "level": "l3", "instruction": leaf, "image_tag": tag, "count": 9,
         "instruction_support": 99, "tag_support": 99, "tfidf": value, "pmi": 0.0}
        for tag, leaves in by_tag.items() for leaf, value in leaves.items()
    ]  # fmt: skip
    return suits(pa.Table.from_pylist(rows, schema=TAG_ASSOCIATIONS.schema), TREE, 0.5)


FAVOURED = weights(sky={"weather": 0.9, "colour": 0.2}, sign={"printed_text": 0.9, "colour": 0.2})


def pictures(count: int):
    rng = random.Random(3)
    return [
        facts(image_id=f"{rng.getrandbits(128):032x}", tags=(rng.choice(["sky", "sign"]),))
        for _ in range(count)
    ]


def planned(shown, possible=None, policy=POLICY, by=FAVOURED):
    able = [frozenset(possible or KINDS)] * len(shown)
    return plan_lines("src", shown, able, by, TREE, policy)


def changed(**more):
    return POLICY.model_copy(update=more)


def test_tags_decide_what_is_asked_of_a_picture():
    """A sky asked for its text, and a sign for its weather, is what associations are there to avoid."""
    shown = pictures(200)
    rows = planned(
        shown, policy=changed(floor=0, quota=1.0, lines_per_picture=1, temperature=0.05)
    ).to_pylist()
    tag = {f.image_id: f.tags[0] for f in shown}
    own = {"sky": "weather", "sign": "printed_text"}
    assert sum(own[tag[r["image_id"]]] == r["instruction_l3"] for r in rows) > 190


def test_plan_is_the_same_in_any_order_and_asks_a_kind_once():
    """A backfill in another order must not pay for other questions."""
    shown = pictures(60)
    first = planned(shown).sort_by("line_id")
    random.Random(1).shuffle(shown)
    assert planned(shown).sort_by("line_id").equals(first)
    pairs = Counter(zip(first["image_id"].to_pylist(), first["instruction_l3"].to_pylist(), strict=True))
    assert max(pairs.values()) == 1
    assert first.schema.equals(SYNTHESIS_PLAN.schema)


def test_another_picture_changes_no_draw():
    """A source that grows by one picture would otherwise be written anew."""
    shown, free = pictures(40), changed(floor=0, quota=1.0)
    before = {r["line_id"] for r in planned(shown[:-1], policy=free).to_pylist()}
    after = {r["line_id"] for r in planned(shown, policy=free).to_pylist()}
    assert before <= after


def test_rare_kinds_get_their_floor_and_favoured_ones_no_more_than_their_quota():
    """Synthesis that follows the seed set alone makes more of what there is plenty of."""
    liked = {"weather": 0.9, "colour": 0.8, "shape": 0.7}
    favoured = weights(sky=liked, sign=liked)
    shown = pictures(100)
    policy = changed(quota=0.4, floor=7, top_k=3, lines_per_picture=2, temperature=0.05)
    counts = Counter(planned(shown, policy=policy, by=favoured)["instruction_l3"].to_pylist())
    assert set(counts) == set(KINDS) and min(counts.values()) >= 7
    assert counts["weather"] <= 0.4 * 200
    chosen = Counter(planned(shown, policy=policy, by=favoured)["chosen_by"].to_pylist())
    assert chosen["floor"] == 3 * 7


def test_impossible_kinds_are_not_planned_and_zero_lines_switch_off():
    """An engine that cannot ask it would quarantine the line."""
    assert set(planned(pictures(20), possible=["colour"])["instruction_l3"].to_pylist()) == {"colour"}
    assert planned(pictures(20), policy=changed(lines_per_picture=0)).num_rows == 0
    assert planned([]).num_rows == 0


def test_styles_follow_their_weights():
    """A file that asks for short answers alone must get them."""
    assert set(planned(pictures(30), policy=changed(styles={"short": 1.0}))["style"].to_pylist()) == {"short"}
    counts = Counter(planned(pictures(300))["style"].to_pylist())
    assert min(counts.values()) > 0.25 * counts.total()


def line(**more):
    row = dict.fromkeys(SYNTHESIS_QA.schema.names)
    row |= {"line_id": "l", "image_id": "i", "instruction_l3": "colour", "style": "short", "question": "Q?",
            "answer": "A", "engine": "rules", "prompts": ["rules@1"], "requests": [], "prompt_tokens": 0,
            "completion_tokens": 0, "cost": 0.0, "parent_ids": ["p"], "seed_ids": [],
            "verdict": "keep"}  # fmt: skip
    return row | more


@pytest.mark.parametrize(
    ("measured", "verdict", "reason"),
    [
        ({}, "keep", None),
        ({"judge_score": 8, "loss": 2.0, "relevant": True, "question_similarity": 0.79}, "keep", None),
        ({"judge_score": 7}, "drop", "low_judge_score"),
        ({"loss": 2.1}, "drop", "high_loss"),
        ({"loss": 2.4, "instruction_l3": "printed_text"}, "keep", None),
        ({"loss": 2.6, "instruction_l3": "printed_text"}, "drop", "high_loss"),
        ({"relevant": False, "judge_score": 3}, "drop", "irrelevant_question"),
        ({"question_similarity": 0.8, "relevant": False}, "drop", "repeated_question"),
        ({"problem": "budget_spent", "answer": None}, "drop", "budget_spent"),
        ({"problem": "cut_answer", "judge_score": 3, "answer": None}, "quarantine", "cut_answer"),
    ],
)
def test_line_is_kept_or_has_its_reason(measured, verdict, reason):
    """A threshold of the policy that decides nothing, or a null taken for a zero, would pass unseen."""
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_pylist([line(**measured)], schema=SYNTHESIS_QA.schema)))
    row = decide(frame.drop("verdict", "reason"), ["printed_text"], POLICY).to_pylist()[0]
    assert (row["verdict"], row["reason"]) == (verdict, reason)
    assert (row["detail"] is not None) == (reason in set(DROPPED) - {"budget_spent"})


def test_question_that_the_picture_has_is_not_new():
    """The same question twice about a picture teaches nothing and is paid for."""
    picture = facts(
        [Box("bus", 0, 0, 90, 90)],
        questions=("Is there a bus in the picture?", "Does this image show a bus?"),
    )
    plan = [{"line_id": "l", "image_id": picture.image_id, "instruction_l3": "presence", "style": "short"}]
    (row,) = write_by_rules(plan, {picture.image_id: picture}, ["bus"], 1).to_dicts()
    assert row["question_similarity"] == 1.0
    (row,) = write_by_rules(
        plan, {picture.image_id: facts([Box("bus", 0, 0, 90, 90)])}, ["bus"], 1
    ).to_dicts()
    assert row["question_similarity"] == 0.0


def talks(policy=POLICY, count=11):
    leaves = [*KINDS, "scene_description", "occupation", "math_problem", "focus", "season"][:count]
    rows = [
        line(line_id=f"s-{i:02d}", instruction_l3=leaf, question=f"Question {i}?")
        for i, leaf in enumerate(leaves)
    ]
    rows.append(line(line_id="s-99", verdict="drop", reason="high_loss"))
    return merge("s", rows, {"i": facts(image_id="i")}, TREE, policy).to_pylist(), leaves


def test_conversations_go_from_easy_to_hard_and_hold_every_kept_line_once():
    """A line that is in no conversation was paid for in vain; one that is in two leaks its answer."""
    rows, leaves = talks()
    assert sorted(i for r in rows for i in r["line_ids"]) == [f"s-{i:02d}" for i in range(len(leaves))]
    assert [len(r["line_ids"]) for r in rows] == [8, 3]
    hardness = [TREE.leaves[leaf].difficulty for r in rows for leaf in r["instruction_l3"]]
    assert hardness == sorted(hardness)
    for row in rows:
        assert [t["role"] for t in row["turns"]] == ["user", "assistant"] * len(row["line_ids"])
        assert "".join(t["text"] for t in row["turns"]).count("<image>") == 1
        assert row["question_tokens"] > 0 and row["answer_tokens"] > 0


def test_merging_is_a_switch():
    """Infinity-MM always merges; a lead who wants single questions must get them."""
    rows, leaves = talks(POLICY.model_copy(update={"merge": False}))
    assert [len(r["line_ids"]) for r in rows] == [1] * len(leaves)
    assert len({r["sample_id"] for r in rows}) == len(leaves)
