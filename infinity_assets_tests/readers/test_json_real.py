"""Real files of the JSON and CSV family, read through their catalogue entries, with nothing lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from infinity_assets.readers import parse_options
from infinity_assets.readers.base import MARKERS, Record
from infinity_assets.sources.model import SourceSpec
from infinity_assets_tests.readers.conftest import SourceFilesMaker

CATALOGUE = Path(__file__).resolve().parents[1] / "real_catalogue"

#: Records of each file, as its SOURCE.md counts them (alt texts: 236 rows).
COUNTS: dict[str, dict[str, int]] = {
    "bi_docs_charts_ui": {"alt_texts.jsonl": 236},
    "derived_llava_json": {"gaokao_politics.json": 33},
    "dj_demo_alpaca_cot": {"alpaca-cot.jsonl": 11},
    "dj_demo_chatml": {"demo-dataset-chatml.jsonl": 4},
    "dj_demo_deduplication": {"demo-dataset-deduplication.jsonl": 14},
    "dj_demo_images": {"demo-dataset-images.jsonl": 3},
    "dj_demo_videos": {"demo-dataset-videos.jsonl": 6},
    "gaokao_zh": {
        "Data/2010-2023_Biology_MCQs.json": 21,
        "Data/2010-2023_Math_MCQs.json": 80,
        "Data/2010-2023_Political_Science_MCQs.json": 33,
    },
    "instruct_alpaca_en": {"alpaca_en_demo.json": 999},
    "instruct_alpaca_zh": {"alpaca_zh_demo.json": 1000},
    "instruct_glaive": {"glaive_toolcall_en_demo.json": 300},
    "instruct_mllm_audio": {"mllm_audio_demo.json": 3},
    "instruct_mllm_image": {"mllm_demo.json": 6},
    "instruct_mllm_video": {"mllm_video_demo.json": 3},
    "instruct_mllm_video_audio": {"mllm_video_audio_demo.json": 3},
    "instruct_v1_multimodal": {"v1_multimodal_demo.jsonl": 24},
    "instruct_v1_sft": {"v1_sft_demo.jsonl": 500},
    "llava_json_small": {
        "multi_images.json": 2,
        "single_image.json": 2,
        "single_image_has_text_only.json": 4,
    },
    "qa_jsonl_images_absent": {"bunny_mme.jsonl": 2374},
    "table_pages": {"train.csv": 418, "val.csv": 100},
}

#: References that dangle for reasons that SOURCE.md gives.
ABSENT = {
    "bi_docs_charts_ui": 7,
    "dj_demo_videos": 4,
    "qa_jsonl_images_absent": 2374,
    "table_pages": 264,
}


def read_source(name: str, real_data: Path, source_files: SourceFilesMaker) -> tuple[list[Record], Path]:
    spec = SourceSpec.model_validate(yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text()))
    location = (CATALOGUE / spec.location).resolve()
    assert location.is_relative_to(real_data)
    reader, options = parse_options(spec.reader)
    if location.is_dir():
        files = source_files(location, reader.patterns)
    else:
        files = source_files(location.parent, [location.name])
    media = (CATALOGUE / spec.media).resolve() if spec.media else location
    records = [r for piece in reader.plan(files, options) for r in reader.read(files, piece, options)]
    return records, media


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_row_of_a_real_source_is_read_and_its_pictures_found(
    name: str, real_data: Path, source_files: SourceFilesMaker
) -> None:
    """A user would lose rows, or all pictures of a source, without a word."""
    records, media = read_source(name, real_data, source_files)
    assert Counter(r.locator.file for r in records) == COUNTS[name]
    assert [r.error for r in records if r.error] == []
    absent = sum(not (media / m.ref).is_file() for r in records for m in r.media)
    assert absent == ABSENT.get(name, 0)
    for record in records:
        text = "".join(turn.text for turn in record.turns)
        if name != "table_pages":
            assert record.turns
            for kind, marker in MARKERS.items():
                assert text.count(marker) == sum(m.kind == kind for m in record.media), record.locator


def native_rows(path: Path, key: str | None) -> list[Any]:
    text = path.read_bytes()
    if path.suffix == ".jsonl":
        return [orjson.loads(line) for line in text.splitlines() if line.strip()]
    value = orjson.loads(text)
    return value[key] if key else value  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", sorted(set(COUNTS) - {"table_pages"}))
def test_raw_of_each_record_is_the_native_row(
    name: str, real_data: Path, source_files: SourceFilesMaker
) -> None:
    """A user could not get back to what upstream wrote."""
    records, _ = read_source(name, real_data, source_files)
    spec = yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text())
    location = (CATALOGUE / spec["location"]).resolve()
    for file in COUNTS[name]:
        path = location / file if location.is_dir() else location
        expected = native_rows(path, spec["reader"].get("rows"))
        assert [orjson.loads(r.raw) for r in records if r.locator.file == file] == expected


def test_native_features_of_the_real_sources_have_a_place(
    real_data: Path, source_files: SourceFilesMaker
) -> None:
    """System prompts, tool calls, several pictures, boxes, answers and alt texts would be lost."""
    llava, _ = read_source("llava_json_small", real_data, source_files)
    assert [len(r.media) for r in llava] == [2, 4, 1, 1, 1, 1, 0, 0]
    assert llava[0].turns[0].role == "system"
    glaive, _ = read_source("instruct_glaive", real_data, source_files)
    roles = Counter(t.role for r in glaive for t in r.turns)
    assert roles == {"user": 746, "assistant": 746 + 211, "tool": 211}
    assert all("tools" in r.extras for r in glaive)
    gaokao, _ = read_source("gaokao_zh", real_data, source_files)
    assert sum(len(r.media) for r in gaokao) == 234
    assert sum(len(r.media) > 1 for r in gaokao) == 34
    assert gaokao[0].annotations[0].text == "A"
    assert gaokao[0].turns[0].text.startswith("<image>\n4. ")
    assert gaokao[0].extras["year"] == "2010"
    pages, _ = read_source("table_pages", real_data, source_files)
    assert pages[0].annotations[0].box == (770, 946, 2070, 2973)
    assert pages[0].annotations[0].label == "table"
    alts, _ = read_source("bi_docs_charts_ui", real_data, source_files)
    assert {a.kind for r in alts for a in r.annotations} == {"caption"}
    assert alts[0].extras["heading"] == "✨ Data lineage"


def test_one_picture_used_twice_in_a_conversation_stays_twice(
    real_data: Path, source_files: SourceFilesMaker
) -> None:
    """Markers and pictures would shift against each other."""
    mllm, _ = read_source("instruct_mllm_image", real_data, source_files)
    typed, _ = read_source("instruct_v1_multimodal", real_data, source_files)
    assert [m.ref for m in mllm[0].media] == ["mllm_demo_data/1.jpg"] * 2
    assert mllm[0].turns == typed[0].turns
    assert mllm[0].media == typed[0].media
