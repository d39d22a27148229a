"""COCO, VQA and folders of pictures: joins that lose nothing, and defects told at the right row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infinity_assets.errors import SourceError
from infinity_assets.readers import READERS, json_rows, parse_options
from infinity_assets.readers.base import Annotation, Media, Record, Turn
from infinity_assets.readers.files import SourceFiles

from .conftest import folder_files

CAPTIONS = {"format": "coco", "captions": "captions_{split}.json", "images": "{split}/{file_name}"}
INSTANCES = {"format": "coco", "instances": "instances_{split}.json", "images": "{split}/{file_name}"}
VQA = {
    "format": "vqa",
    "questions": "{split}_questions.json",
    "annotations": "{split}_annotations.json",
    "images": "{split}/COCO_{split}_{image_id:012d}.jpg",
}
FLAT = {"format": "vqa", "questions": "{split}/questions.json", "images": "{split}/images/{image_id}.png"}

IMAGES = [
    {"id": 1, "file_name": "a.jpg", "license": 4, "width": 9},
    {"id": 2, "file_name": "b.jpg", "license": 9},
]
LICENCES = [{"id": 4, "name": "Attribution License", "url": "u"}]
CATEGORIES = [{"id": 18, "name": "dog", "supercategory": "animal"}]


def box(image_id: Any = 1, **changes: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": image_id, "category_id": 18, "bbox": [1, 2, 3, 4], "iscrowd": 0} | changes


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    (folder / name).write_bytes(data)


def read(files: SourceFiles, spec: dict[str, Any]) -> list[Record]:
    reader, options = parse_options(spec)
    return [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]


def read_folder(folder: Path, spec: dict[str, Any]) -> list[Record]:
    return read(folder_files(folder, READERS[spec["format"]].patterns), spec)


def reasons(records: list[Record]) -> list[str | None]:
    return [r.error.reason if r.error else None for r in records]


def test_a_caption_brings_its_image_and_that_images_licence(tmp_path: Path) -> None:
    """62 of 100 COCO photos forbid commercial use: without the row's licence nobody can tell which."""
    value = {
        "annotations": [
            {"id": 7, "image_id": 1, "caption": "A dog."},
            {"id": 8, "image_id": 2, "caption": "B."},
        ],
        "images": IMAGES,
        "licenses": LICENCES,
    }
    write(tmp_path, "captions_train.json", value)
    first, second = read_folder(tmp_path, CAPTIONS)
    assert first.turns == (Turn("user", "<image>\nDescribe the image."), Turn("assistant", "A dog."))
    assert first.media == (Media("image", "train/a.jpg"),)
    assert first.annotations == (Annotation("caption", text="A dog.", image=0),)
    assert (first.native_id, first.licence, second.licence) == ("7", "Attribution License", None)
    assert first.locator.member == "annotations[0]"


def test_an_image_has_all_of_its_boxes_as_corners(tmp_path: Path) -> None:
    """COCO gives width and height; taken for corners every box is wrong. Images without boxes stay."""
    value = {
        "images": IMAGES,
        "annotations": [box(1), box(1, bbox=[0.5, 0, 2, 2], segmentation=[[1.5, 2]])],
        "categories": CATEGORIES,
        "licenses": LICENCES,
    }
    write(tmp_path, "instances_val.json", value)
    first, second = read_folder(tmp_path, INSTANCES)
    assert [a.box for a in first.annotations] == [(1, 2, 4, 6), (0.5, 0, 2.5, 2)]
    assert {a.label for a in first.annotations} == {"dog"}
    assert json.loads(first.annotations[1].data or "")["segmentation"] == [[1.5, 2]]
    assert (first.turns, second.annotations, second.error) == ((), (), None)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([box(1), box(99)], [None, None, "bad_record"]),
        ([box(1, bbox=[1, 2, 3])], ["bad_record", None]),
        ([box(1, bbox=[1, 2, -3, 4])], ["bad_record", None]),
        ([box(1, bbox=[1, 2, "3", 4])], ["bad_record", None]),
        ([box(1, category_id=99)], ["bad_record", None]),
        ([box(None)], [None, None, "bad_record"]),
        (["text"], [None, None, "bad_record"]),
    ],
    ids=["unknown_image", "three_numbers", "negative", "text", "unknown_category", "no_image", "no_object"],
)
def test_a_bad_box_is_told_where_it_belongs(
    annotations: list[Any], expected: list[Any], tmp_path: Path
) -> None:
    """Else an image with a lost box trains as if nothing were there."""
    value = {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES}
    write(tmp_path, "instances_val.json", value)
    records = read_folder(tmp_path, INSTANCES)
    assert reasons(records) == expected
    assert all("instances_val.json" in r.error.detail for r in records if r.error)


def test_a_file_that_is_cut_gives_no_image_with_half_of_its_boxes(tmp_path: Path) -> None:
    """An interrupted download must not pass for images with few objects."""
    value = {"images": IMAGES, "categories": CATEGORIES, "annotations": [box(1), box(1), box(2)]}
    write(tmp_path, "instances_val.json", json.dumps(value).encode()[:-70])
    records = read_folder(tmp_path, INSTANCES)
    assert reasons(records) == ["bad_record", "bad_record"]


def test_repeated_and_missing_ids_are_told(tmp_path: Path) -> None:
    """A join on a doubtful id would put captions under the wrong picture."""
    images = [*IMAGES, {"id": 2, "file_name": "c.jpg"}, {"file_name": "d.jpg"}]
    write(tmp_path, "instances_val.json", {"images": images, "annotations": [], "categories": []})
    assert reasons(read_folder(tmp_path, INSTANCES)) == [None, "bad_record", "bad_record", "bad_record"]
    captions = [{"id": i, "image_id": image, "caption": "c"} for i, image in enumerate([1, 2, 3])]
    write(tmp_path, "captions_val.json", {"images": images, "annotations": captions})
    assert reasons(read_folder(tmp_path, CAPTIONS)) == [None, "bad_record", "bad_record"]


def test_deep_nesting_harms_nobody(tmp_path: Path) -> None:
    """A file of 200 kB of brackets once cost gigabytes in a streaming parser."""
    write(tmp_path, "captions_val.json", b'{"images": [], "annotations": [' + b"[" * 200_000)
    assert set(reasons(read_folder(tmp_path, CAPTIONS))) <= {"unreadable_file", "bad_json"}


def test_paths_that_lead_out_are_passed_on_untouched(tmp_path: Path) -> None:
    """A later stage quarantines them; here they must neither be opened nor be made to look harmless."""
    names = ["../../etc/passwd", "/etc/passwd", "http://h/x.jpg", "s/./b.jpg"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    write(tmp_path, "instances_val.json", {"images": images, "annotations": [], "categories": []})
    records = read_folder(tmp_path, INSTANCES | {"images": "{file_name}"})
    assert [r.media[0].ref for r in records] == [*names[:3], "s/b.jpg"]


def question(i: int, text: Any = "What?") -> dict[str, Any]:
    return {"question_id": i, "image_id": 7, "question": text}


def answer(i: int) -> dict[str, Any]:
    people = [{"answer": "net", "answer_confidence": "yes", "answer_id": 1}]
    return {
        "question_id": i,
        "image_id": 7,
        "multiple_choice_answer": "net",
        "answers": people,
        "answer_type": "other",
    }


def test_a_question_meets_its_answer(tmp_path: Path) -> None:
    """The two files of VQA v2 are in different orders; only the id joins them."""
    write(tmp_path, "val2014_questions.json", {"questions": [question(1), question(2)]})
    write(tmp_path, "val2014_annotations.json", {"annotations": [answer(2), answer(1)]})
    first, second = read_folder(tmp_path, VQA)
    assert (first.native_id, second.native_id) == ("1", "2")
    assert first.turns == (Turn("user", "<image>\nWhat?"), Turn("assistant", "net"))
    assert first.media == (Media("image", "val2014/COCO_val2014_000000000007.jpg"),)
    assert first.annotations[0].text == "net"
    assert json.loads(first.annotations[0].data or "") == {"answer_confidence": "yes", "answer_id": 1}
    assert first.extras == {"image_id": 7, "answer_type": "other"}


def test_answers_and_questions_without_each_other_are_told(tmp_path: Path) -> None:
    """In = out: neither file may lose a row in the join."""
    write(tmp_path, "v_questions.json", {"questions": [question(1), question(2), question(3, "")]})
    write(tmp_path, "v_annotations.json", {"annotations": [answer(1), answer(3), answer(9), answer(1)]})
    assert reasons(read_folder(tmp_path, VQA)) == ["bad_record", "bad_record", "bad_turns", "bad_record"]


def test_a_flat_list_needs_no_second_file(tmp_path: Path) -> None:
    """easy-VQA's rows have no ids; the image's number names its file."""
    write(tmp_path, "test/questions.json", [["what?", "red", 0], ["what?", "red"], ["what?", 3, 1], "x"])
    records = read_folder(tmp_path, FLAT)
    assert reasons(records) == [None, "bad_record", "bad_turns", "bad_record"]
    assert records[0].media == (Media("image", "test/images/0.png"),)


def test_questions_without_answers_are_no_errors(tmp_path: Path) -> None:
    """Test splits have none."""
    write(tmp_path, "v_questions.json", {"questions": [question(1)]})
    (record,) = read_folder(tmp_path, {k: v for k, v in VQA.items() if k != "annotations"})
    assert [t.role for t in record.turns] == ["user"]


@pytest.mark.parametrize(
    "spec", [CAPTIONS, INSTANCES, VQA, FLAT], ids=["captions", "instances", "vqa", "flat"]
)
def test_a_template_that_fits_no_file_is_an_error(spec: dict[str, Any], tmp_path: Path) -> None:
    """A typing error in the catalogue must not look like an empty source."""
    with pytest.raises(SourceError, match="fits"):
        read_folder(tmp_path, spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"format": "coco"},
        {"format": "coco", "captions": "{file_name.__class__}.json"},
        {"format": "vqa", "questions": "{0}.json", "images": ""},
    ],
    ids=["nothing_to_read", "attribute", "position"],
)
def test_wrong_templates_are_refused(spec: dict[str, Any]) -> None:
    """At the catalogue, with the name of what is wrong; not in the middle of a run."""
    with pytest.raises(ValidationError):
        parse_options(spec)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 6), max_size=15),
    st.lists(st.integers(0, 6), max_size=15),
    st.integers(20, 300),
)
def test_slicing_changes_no_record(tmp_path: Path, images: list[int], boxes: list[int], size: int) -> None:
    """Records, strays and errors are the same for any slice size."""
    listed = [{"id": i, "file_name": f"{i}.jpg"} for i in sorted(set(images)) or [0]]
    value = {"images": listed, "annotations": [box(i) for i in boxes], "categories": CATEGORIES}
    write(tmp_path, "instances_val.json", value)
    whole = read_folder(tmp_path, INSTANCES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "SLICE_BYTES", size)
        assert read_folder(tmp_path, INSTANCES) == whole


def test_a_changed_answer_changes_its_slices_content(tmp_path: Path) -> None:
    """A slice is known by its content: one that missed the joined file would serve stale answers."""
    reader, options = parse_options(VQA)
    seen = set()
    for text in ("net", "ball"):
        write(tmp_path, "v_questions.json", {"questions": [question(1)]})
        write(tmp_path, "v_annotations.json", {"annotations": [answer(1) | {"multiple_choice_answer": text}]})
        seen |= {piece.content for piece in reader.plan(folder_files(tmp_path, ["**/*.json"]), options)}
    assert len(seen) == 2


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("train/cat/1.jpg", "train/dog/2.PNG", "top.webp", "notes.md"):
        write(tmp_path, name, b"x")
    return tmp_path


def test_the_folder_is_the_class(pictures: Path) -> None:
    """No turns are made up where nobody gave a question."""
    records = read_folder(pictures, {"format": "image_folder"})
    assert [(r.media[0].ref, r.annotations[0].label if r.annotations else None) for r in records] == [
        ("top.webp", None),
        ("train/cat/1.jpg", "cat"),
        ("train/dog/2.PNG", "dog"),
    ]
    assert all(r.turns == () and r.error is None for r in records)


def test_a_question_makes_turns_of_classes(pictures: Path) -> None:
    """A picture that has no class folder cannot answer it, and that is told."""
    records = read_folder(pictures, {"format": "image_folder", "question": "Which animal?"})
    assert reasons(records) == ["bad_record", None, None]
    assert records[1].turns == (Turn("user", "<image>\nWhich animal?"), Turn("assistant", "cat"))


def test_the_class_level_counts_folders_upwards(pictures: Path) -> None:
    """In split/class/file the split is one level up; at 0 folders mean nothing."""
    two = read_folder(pictures, {"format": "image_folder", "class_level": 2})
    none = read_folder(pictures, {"format": "image_folder", "class_level": 0})
    assert [a.label for r in two for a in r.annotations] == ["train", "train"]
    assert [r.annotations for r in none] == [(), (), ()]


def test_a_new_class_changes_no_other_slice(pictures: Path) -> None:
    """Else one new picture makes every picture be decoded again."""
    reader, options = parse_options({"format": "image_folder"})
    before = {p.content for p in reader.plan(folder_files(pictures, ()), options)}
    write(pictures, "train/ant/0.jpg", b"y")
    assert before < {p.content for p in reader.plan(folder_files(pictures, ()), options)}
