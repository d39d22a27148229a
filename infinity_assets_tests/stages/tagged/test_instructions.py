"""Without these, instructions are filed under leaves that nobody can find again, or under two at once."""

from __future__ import annotations

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.errors import CatalogueError
from infinity_assets.stages.tagged.instructions import RULES, instruction_leaves
from infinity_assets.stages.tagged.question_types import OPEN
from infinity_assets.stages.tagged.question_types import RULES as TYPES
from infinity_assets.stages.tagged.taxonomy import (
    FOLDER,
    changed,
    differences,
    load_taxonomy,
    mmbench,
    mminstruct,
    read_changes,
)

TREE = load_taxonomy(version=1)

#: Labels that the paper prints, by group in its order: 198 of the 199 that it speaks of.
PUBLISHED = [45, 13, 26, 3, 2, 17, 16, 11, 1, 1, 5, 7, 12, 1, 2, 3, 1, 2, 3, 5, 17, 5]


def leaf(question: str | None, pictured: bool = True) -> str | None:
    return instruction_leaves(pl.Series([question], dtype=pl.String), pl.Series([pictured]), TREE)["l3"][0]


def test_tree_has_the_levels_of_the_paper():
    """A report by level means something only if the levels are those that others report."""
    assert len({f.l1 for f in TREE.leaves.values()}) == 6
    assert list(TREE.published.values()) == PUBLISHED
    assert len({f.l2 for f in TREE.leaves.values()}) == 22
    assert 110 <= len(TREE.leaves) <= 130
    tops = mmbench()
    assert [len(tops), sum(map(len, tops.values()))] == [2, 6]
    assert sum(len(names) for groups in tops.values() for names in groups.values()) == 20
    assert len(mminstruct()) == 24 + 1


def test_every_rule_leads_to_a_leaf_of_the_first_version():
    """A rule that names no leaf drops its questions out of every count, in silence."""
    assert set(RULES) == {*TYPES, OPEN}
    named = {
        name for patterns, otherwise in RULES.values() for name in (*(n for _, n in patterns), otherwise)
    }
    assert named - {None} <= set(TREE.leaves)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What colour is the car?", "colour"),
        ("How many people are there?", "people_count"),
        ("How many balls are there?", "object_count"),
        ("图中有几只猫？", "animal_count"),
        ("苹果是什么颜色的？", "colour"),
        ("Is there a red bus in the picture?", "presence"),
        ("Is the cup to the left or to the right of the lamp?", "relative_position_of_objects"),
        ("Give the bounding box of the red car.", "bounding_box"),
        ("What is the largest object in the image?", "compare_sizes"),
        ("Where does this scene take place?", "environment_type"),
        ("Which bar of the chart is the highest?", "bar_chart"),
        ("In which part of the picture is the dog?", "object_location"),
        ("What is the weather like?", "weather"),
        ("Describe the picture in detail.", "scene_description"),
        ("图中哪样东西可以看时间？", "object_function"),
        ("Transcribe the text.", "text_transcription"),
    ],
)
def test_question_is_filed_under_its_leaf(question, expected):
    """Associations are counted from these: a colour question filed as a count teaches the wrong thing."""
    assert leaf(question) == expected


@pytest.mark.parametrize(
    ("english", "chinese", "expected"),
    [
        ("What is the weather like?", "图中的天气怎么样？", "weather"),
        (
            "Is the dog to the left or right of the cat?",
            "狗在猫的左边还是右边？",
            "relative_position_of_objects",
        ),
        ("What is the man doing?", "图片中的人在做什么？", "human_action"),
        ("What is the dog doing?", "图里的狗在干什么？", "animal_action"),
        ("Which bar of the chart is the highest?", "柱状图中哪个类别的数值最大？", "bar_chart"),
        ("What is the second row of the table?", "表中的第二行是什么？", "table_parsing"),
        ("What is the first step in the flow chart diagram?", "流程图的第一步是什么？", "diagram_parsing"),
        ("Is it a photo or a painting?", "这是一幅油画还是一张照片？", "image_category"),
        ("What facial expression does the boy have?", "男孩的表情如何？", "facial_emotion"),
        ("Read the total of the invoice.", "发票的总金额是多少？", "key_information"),
        ("Read the formula in the picture.", "请写出图中的数学公式。", "ocr_structures"),
        ("Calculate the area of the circle.", "如图，求阴影部分的面积。", "geometric_diagram"),
        ("Compare the colours of the two cars.", "比较这两辆车的颜色。", "compare_colours"),
        ("Compare the size of both buildings.", "这两座楼哪个更高？", "compare_sizes"),
        ("Summarize the picture.", "用一句话概括这张图。", "scene_description"),
        ("What things are on the desk?", "桌子上有什么东西？", "scene_objects"),
        ("What is this made of?", "这件衣服是什么材质的？", "material"),
        ("What is the job of this person?", "这个人的职业可能是什么？", "occupation"),
    ],
)
def test_chinese_questions_are_filed_where_english_ones_are(english, chinese, expected):
    """A Chinese source would otherwise have no share in what pictures are asked for."""
    assert (leaf(english), leaf(chinese)) == (expected, expected)


def test_nothing_to_see_has_no_leaf():
    """Every leaf is about a picture; a text's question among them would dilute what pictures suit it."""
    assert leaf("What colour is the sky?", pictured=False) is None
    assert leaf(None) is None
    assert leaf("   ") is None


@settings(deadline=None, max_examples=30)  # the first call compiles every pattern
@given(st.lists(st.text(max_size=40), max_size=12))
def test_labels_do_not_depend_on_what_stands_beside(questions):
    """A shard cut otherwise must give the same labels, whatever people type."""
    together = instruction_leaves(
        pl.Series(questions, dtype=pl.String), pl.repeat(True, len(questions), eager=True), TREE
    )
    assert together["l3"].to_list() == [leaf(q) for q in questions]
    assert together["l3"].is_null().to_list() == together["l2"].is_null().to_list()


def write(folder, number, *changes):
    path = folder / f"v{number}.yaml"
    path.write_text(yaml.safe_dump({"name": "instructions", "version": number, "changes": list(changes)}))
    return path


def change(action, name, **more):
    return {"action": action, "leaf": name, "reason": "seen while labelling", "reviewer": "team:data", **more}


def test_reviewed_changes_make_a_version_that_reads_old_labels(tmp_path):
    """Tables labelled before a merge would otherwise name leaves that no report knows."""
    path = write(
        tmp_path,
        2,
        change("propose", "handwriting", group="ocr", zh="手写文字", aliases=["handwritten text"]),
        change("merge", "clarity", into="focus"),
        change("retire", "stage"),
    )
    tree = changed(TREE, read_changes(path), path.name)
    assert tree.label == "instructions@2" and tree.hash != TREE.hash
    assert (
        tree.resolve("Handwritten text") == "handwriting"
        and tree.leaves["handwriting"].l1 == TREE.leaves["printed_text"].l1
    )
    assert tree.resolve("clarity") == tree.resolve("sharpness") == "focus"
    assert tree.resolve("stage") is None and "stage" in tree.retired
    assert differences(TREE, tree) == [
        "+ ocr/handwriting",
        "- image_scene/stage (retired)",
        "- image_quality/clarity -> focus",
    ]
    found = instruction_leaves(pl.Series(["Is the picture blurry or sharp?"]), pl.Series([True]), tree)
    assert found["l3"].to_list() == ["focus"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (change("merge", "clarity", into="no_such"), "is no leaf"),
        (change("merge", "no_such", into="focus"), "there is no such leaf"),
        (change("propose", "sharpness", group="ocr", zh="x"), "is known already"),
        (change("propose", "new_one", group="no_group", zh="x"), "`group`"),
        (change("retire", "presence"), "left without a leaf"),
        ({"action": "retire", "leaf": "stage", "reason": "none gave it"}, "reviewer"),
    ],
)
def test_change_that_does_not_fit_is_refused_by_name(tmp_path, wrong, told):
    """A change without a reviewer or a target must not pass as a version."""
    with pytest.raises(CatalogueError, match=told):
        changed(TREE, read_changes(write(tmp_path, 2, wrong)), "v2.yaml")


def test_gap_in_versions_is_told(tmp_path):
    """A lost change file would otherwise give every label of that version another meaning."""
    for path in FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write(tmp_path, 3, change("retire", "stage"))
    with pytest.raises(CatalogueError, match=r"v2\.yaml: missing"):
        load_taxonomy(tmp_path)
