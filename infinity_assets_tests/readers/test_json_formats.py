"""What each JSON format makes of a row: turns, media, measures, and everything else in extras."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.readers import parse_options
from infinity_assets.readers.base import Media, Reader, Record, Turn
from infinity_assets.readers.chat import media_ref
from infinity_assets_tests.readers.conftest import folder_files


@pytest.fixture
def convert(tmp_path: Path) -> Any:
    def one(row: Any, format: str, **options: Any) -> Record:
        (tmp_path / "rows.jsonl").write_bytes(orjson.dumps(row) + b"\n")
        reader, chosen = parse_options({"format": format, **options})
        assert isinstance(reader, Reader)
        files = folder_files(tmp_path, reader.patterns)
        (record,) = [r for piece in reader.plan(files, chosen) for r in reader.read(files, piece, chosen)]
        return record

    return one


def test_infinity_mm_rows_keep_upstream_measures_apart(convert: Any) -> None:
    """Tags, hashes and losses that upstream paid for would be lost, or taken for our own."""
    row = {
        "id": 7,
        "source": "x",
        "image": "a/1.jpg",
        "conversations": [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": "A"}],
        "ram++_tags": ["cat"],
        "ram++_tags_score": [1.5],
        "phash": [2**64 - 1],
        "qw2vl_loss": 0.5,
    }
    record = convert(row, "llava", image_base="images")
    assert record.native_id == "7"
    assert record.turns == (Turn("user", "<image>\nQ"), Turn("assistant", "A"))
    assert record.media == (Media("image", "images/a/1.jpg"),)
    assert record.extras == {"source": "x"}
    assert record.upstream == {k: row[k] for k in ("ram++_tags", "ram++_tags_score", "phash", "qw2vl_loss")}
    assert orjson.loads(record.raw) == row


@pytest.mark.parametrize("image", [None, "", []])
def test_text_only_rows_have_no_media(convert: Any, image: Any) -> None:
    """Text rows of a picture source would be quarantined."""
    row = {"image": image, "conversations": [{"from": "human", "value": "Q"}]}
    record = convert(row, "llava")
    assert record.error is None
    assert record.media == ()


def test_a_missing_marker_is_left_missing_in_conversations(convert: Any) -> None:
    """A defect of the source would be repaired unseen, and no measure could tell it."""
    turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    assert convert({"image": "a.png", "conversations": turns}, "llava").turns[0].text == "Q"
    assert convert({"images": ["a.png"], "conversations": turns}, "sharegpt").turns[0].text == "Q"
    messages = [{"role": "user", "content": "Q"}]
    assert convert({"images": ["a.png"], "messages": messages}, "messages").turns[0].text == "Q"


def test_formats_without_markers_get_one_for_each_medium(convert: Any) -> None:
    """A trainer would see pictures that no text mentions."""
    row = {"instruction": "Q", "output": "A", "images": ["a.png", "b.png"], "history": [["H", "h"]]}
    record = convert(row, "alpaca")
    assert [t.text for t in record.turns] == ["<image>\n<image>\nH", "h", "Q", "A"]
    kept = convert({"instruction": "Q<image>", "output": "A", "image": "a.png"}, "alpaca")
    assert kept.turns[0].text == "Q<image>"


def test_video_lists_and_system_prompts(convert: Any) -> None:
    """Clips would lose their place, and prompts their role."""
    row = {
        "system_prompt": "S",
        "video": ["a.mp4", "b.mp4"],
        "conversations": [{"from": "human", "value": "<video><video>"}],
    }
    record = convert(row, "llava", video_base="v")
    assert record.turns[0] == Turn("system", "S")
    assert record.media == (Media("video", "v/a.mp4"), Media("video", "v/b.mp4"))
    assert record.extras == {}


def test_tool_calls_keep_their_native_roles(convert: Any) -> None:
    """A call could not be told from an answer."""
    row = {
        "conversations": [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": "{}"},
            {"from": "observation", "value": "1"},
            {"from": "gpt", "value": "A"},
        ],
        "tools": "[]",
        "system": "S",
    }
    record = convert(row, "sharegpt")
    assert [t.role for t in record.turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert record.extras == {"native_roles": ["human", "function_call", "observation", "gpt"], "tools": "[]"}


def test_typed_parts_put_markers_where_the_media_were(convert: Any) -> None:
    """Pictures would be asked about in the wrong order."""
    content = [
        {"type": "text", "text": "one "},
        {"type": "image_url", "image_url": {"url": "https://a.example/1.png"}},
        {"type": "text", "text": " two "},
        {"type": "image", "image": "2.png"},
        {"type": "audio", "value": "3.mp3"},
    ]
    row = {
        "messages": [
            {"role": "user", "content": content, "loss_weight": 0.0},
            {"role": "assistant", "content": "A"},
        ]
    }
    record = convert(row, "messages", image_base="i")
    assert record.turns[0].text == "one <image> two <image><audio>"
    assert [m.ref for m in record.media] == ["https://a.example/1.png", "i/2.png", "3.mp3"]
    assert record.extras == {"turn_fields": [{"loss_weight": 0.0}, {}]}


BAD_ROWS: dict[str, tuple[str, Any, str]] = {
    "no_conversations": ("llava", {"image": "a.png"}, "bad_record"),
    "empty_conversations": ("llava", {"conversations": []}, "bad_turns"),
    "conversations_is_a_text": ("llava", {"conversations": "hi"}, "bad_turns"),
    "turn_is_a_text": ("llava", {"conversations": ["hi"]}, "bad_turns"),
    "unknown_role": ("llava", {"conversations": [{"from": "narrator", "value": "x"}]}, "bad_turns"),
    "role_is_a_list": ("llava", {"conversations": [{"from": [], "value": "x"}]}, "bad_turns"),
    "text_is_null": ("llava", {"conversations": [{"from": "human", "value": None}]}, "bad_turns"),
    "text_is_a_number": ("llava", {"conversations": [{"from": "human", "value": 1}]}, "bad_turns"),
    "system_prompt_is_a_list": (
        "llava",
        {"system_prompt": [1], "conversations": [{"from": "human", "value": ""}]},
        "bad_turns",
    ),
    "image_is_a_number": (
        "llava",
        {"image": 1, "conversations": [{"from": "human", "value": ""}]},
        "bad_record",
    ),
    "image_list_with_null": ("llava", {"image": ["a", None], "conversations": []}, "bad_record"),
    "no_messages": ("messages", {"conversations": []}, "bad_record"),
    "unknown_part": (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "smell", "value": "x"}]}]},
        "bad_turns",
    ),
    "part_without_type": ("messages", {"messages": [{"role": "user", "content": [{}]}]}, "bad_turns"),
    "no_output": ("alpaca", {"instruction": "x"}, "bad_record"),
    "output_is_a_list": ("alpaca", {"instruction": "x", "output": []}, "bad_turns"),
    "history_of_texts": ("alpaca", {"instruction": "x", "output": "", "history": ["a"]}, "bad_turns"),
    "history_is_a_number": ("alpaca", {"instruction": "x", "output": "", "history": 3}, "bad_turns"),
    "caption_without_image": ("captions", {"text": "x"}, "bad_record"),
    "blank_caption": ("captions", {"image": "a", "text": " "}, "bad_record"),
}


@pytest.mark.parametrize("name", sorted(BAD_ROWS))
def test_a_row_of_another_shape_says_what_is_wrong(convert: Any, name: str) -> None:
    """A bad row would stop the source, or vanish."""
    format, row, reason = BAD_ROWS[name]
    record = convert({"id": "n1", **row}, format)
    assert record.error is not None
    assert record.error.reason == reason
    assert record.error.detail.startswith("row 0 at byte 0: ")
    assert record.native_id == "n1"
    assert record.raw


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("a/./b//c.png", "base/a/b/c.png"),
        ("../x/y.png", "x/y.png"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("..", "."),
        ("/etc/passwd", "/etc/passwd"),
        ("https://a.example/b/../c.png", "https://a.example/b/../c.png"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("C:\\x.png", "C:\\x.png"),
        ("\\\\host\\share", "\\\\host\\share"),
        ("strip/a.png", "base/a.png"),
    ],
)
def test_a_reference_is_a_plain_path_or_left_alone(native: str, expected: str) -> None:
    """Paths out of the source would be opened, or good ones not found."""
    assert media_ref(native, "base", "strip/") == expected


def test_captions_become_a_question_an_answer_and_an_annotation(convert: Any) -> None:
    """Alt texts would not reach synthesis, which reads annotations."""
    row = {"file": "a.png", "alt": "A chart", "page": "p", "key": 3}
    record = convert(
        row, "captions", image_field="file", text_field="alt", id_field="key", prompt="What is it?"
    )
    assert record.turns == (Turn("user", "<image>\nWhat is it?"), Turn("assistant", "A chart"))
    assert (record.annotations[0].kind, record.annotations[0].text, record.annotations[0].image) == (
        "caption",
        "A chart",
        0,
    )
    assert record.native_id == "3"
    assert record.extras == {"page": "p"}


def test_mapping_fills_templates_choices_and_marks(convert: Any) -> None:
    """A format without a module of its own could not enter."""
    row = {"q": "Pick {b} <img>", "opts": ["x", 2], "a": {"key": ["A", "B"]}, "pic": "1.png", "year": 2010}
    options = {"question": "{q}\n{choices}", "answer": "{a.key}", "choices": "opts", "image": "pic"}
    record = convert(row, "mapping", **options, markers={"<img>": "<image>"})
    assert record.turns == (Turn("user", "Pick {b} <image>\nA. x\nB. 2"), Turn("assistant", "A, B"))
    assert [(a.kind, a.label, a.text) for a in record.annotations] == [
        ("choice", "A", "x"),
        ("choice", "B", "2"),
        ("answer", None, "A, B"),
    ]
    assert record.extras == {"a": {"key": ["A", "B"]}, "year": 2010}
    missing = convert({"pic": "1.png"}, "mapping", **options)
    assert missing.error is not None
    assert missing.error.reason == "bad_record"


@pytest.mark.parametrize("corner", ["", "nan", "inf", None, [1], "12px"])
def test_a_box_without_numbers_is_an_error(convert: Any, corner: Any) -> None:
    """A box that is not there would be one at zero."""
    box = {"corners": ["a", "b", "c", "d"]}
    record = convert({"a": 1, "b": "2.5", "c": 3, "d": corner}, "mapping", box=box)
    assert record.error is not None
    assert record.error.reason == "bad_record"
    good = convert({"a": 1, "b": "2.5", "c": 3, "d": 4}, "mapping", box=box)
    assert good.annotations[0].box == (1, 2.5, 3, 4)


def test_unknown_options_are_refused() -> None:
    """A misspelt option would be ignored."""
    with pytest.raises(ValueError, match="image_bse"):
        parse_options({"format": "llava", "image_bse": "x"})


NAMES = [
    "id",
    "image",
    "images",
    "video",
    "conversations",
    "messages",
    "instruction",
    "input",
    "output",
    "url",
]
NAMES += [
    "history",
    "system",
    "system_prompt",
    "tools",
    "text",
    "from",
    "value",
    "role",
    "content",
    "type",
    "url",
]
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-1, 1)
    | st.sampled_from(["", "human", "gpt", "text", "image", "<image>", "a/b.png", "..", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), anything, max_size=8), min_size=1, max_size=20))
def test_no_row_stops_a_reader(native: list[Any]) -> None:
    """One strange row would stop its source at every try."""
    mapping = {"question": "{input.text}", "answer": "{output}", "image": "image", "choices": "history"}
    mapping |= {"box": {"corners": ["from", "value", "role", "type"], "label": "text"}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rows.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in native))
        for format in ("alpaca", "captions", "llava", "mapping", "messages", "sharegpt"):
            reader, options = parse_options({"format": format} | (mapping if format == "mapping" else {}))
            files = folder_files(Path(folder), reader.patterns)
            found = [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]
            assert [orjson.loads(r.raw) for r in found] == native
