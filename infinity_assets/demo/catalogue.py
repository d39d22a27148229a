"""The catalogue files of the demo sources, and a mix small enough for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infinity_assets.demo.sources import CLASS_QUESTION, PROMPT

_FREE = {"id": "CC0-1.0", "terms": "drawn by this package; no rights reserved"}
_BY_ROW = {
    "id": "LicenseRef-unknown",
    "terms": "each row states its own licence; rows without one are not cleared",
}

#: By source: what a catalogue says besides name, location and revision. Priorities differ, so that one knows
#: beforehand which copy survives: the one with the lower.
SPECS: Mapping[str, dict[str, Any]] = {
    "demo_eval": {
        "title": "Demo benchmark", "category": "evaluation", "licence": _FREE, "language": ["en", "zh"],
            "priority": 1, "stages": [],
        "reader": {"format": "mapping", "image": "image", "question": "{question}", "answer": "{answer}"},
    },
    "demo_documents_wds": {
        "title": "Documents", "category": "ocr", "licence": _FREE, "language": ["en", "zh"], "priority": 10,
            "stages": ["2a", "2b", "2c", "3", "4"],
        "reader": {"format": "infinity_mm"},
    },
    "demo_charts_parquet": {
        "title": "Charts", "category": "doc_chart", "licence": _FREE, "language": ["en"], "priority": 20,
            "stages": ["2a", "2b", "2c", "3", "4"],
        "reader": {"format": "parquet_images"},
    },
    "demo_tables_vqa": {
        "title": "Tables", "category": "doc_chart", "licence": _FREE, "language": ["en", "zh"],
            "priority": 30, "stages": ["2a", "2b", "2c", "3"],
        "reader": {
            "format": "vqa", "questions": "questions_{split}.json", "annotations": "annotations_{split}.json",
            "images": "{split}/{image_id:012d}.png",
        },
    },
    "demo_formulas_jsonl": {
        "title": "Formulas", "category": "math_reasoning", "licence": _BY_ROW, "language": ["en", "zh"],
            "priority": 40, "stages": ["2a", "2b", "2c", "3", "4"],
        "reader": {"format": "mapping", "image": "image", "question": "{question}", "answer": "{answer}"},
    },
    "demo_scenes_coco": {
        "title": "Scenes with boxes", "category": "grounding", "licence": _BY_ROW, "language": ["en"],
            "priority": 50, "stages": ["1", "2a", "2b", "2c", "4"],
        "reader": {
            "format": "coco", "captions": "annotations/captions_{split}.json",
                "instances": "annotations/instances_{split}.json",
            "images": "{split}/{file_name}", "prompt": PROMPT,
        },
    },
    "demo_things_folder": {
        "title": "Single objects", "category": "caption", "licence": _FREE, "language": ["en"],
            "priority": 60, "stages": ["1"],
        "reader": {"format": "image_folder", "question": CLASS_QUESTION},
    },
    "demo_ui_captions": {
        "title": "App screens", "category": "caption", "licence": _FREE, "language": ["en", "zh"],
            "priority": 70, "stages": ["1", "2a", "2b", "2c"],
        "reader": {"format": "captions", "prompt": PROMPT},
    },
    "demo_multi_image_messages": {
        "title": "Before and after", "category": "multi_image", "licence": _FREE, "language": ["en", "zh"],
            "priority": 80, "stages": ["3", "4"],
        "reader": {"format": "messages"},
    },
    "demo_scenes_llava": {
        "title": "Scenes", "category": "general", "licence": _FREE, "language": ["en", "zh"],
            "priority": 90, "stages": ["2a", "2b", "2c", "3", "4"],
        "reader": {"format": "llava"}, "caps": {"4": 120},
    },
    "demo_text_alpaca": {
        "title": "Exercises without pictures", "category": "text", "licence": _FREE,
            "language": ["en", "zh"], "priority": 100, "stages": ["2a", "2b", "2c", "3", "4"],
        "reader": {"format": "alpaca"},
    },
}  # fmt: skip

_THIRDS: dict[str, Any] = {
    "quotas": {"general": 80, "ocr": 40, "doc_chart": 90, "math_reasoning": 30, "text": 50, "caption": 20,
        "grounding": 30}
}  # fmt: skip

#: Infinity-MM's training stages (arXiv 2410.18558, tables 1 and 2), some hundred thousand times smaller.
MIXES: Mapping[str, dict[str, Any]] = {
    "1": {"quotas": {"caption": 160, "grounding": 100}},
    **{f"2{c}": {**_THIRDS, "part": {"name": "stage2", "index": i, "of": 3}} for i, c in enumerate("abc")},
    "3": {
        "quotas": {
            "general": 60,
            "ocr": 30,
            "doc_chart": 90,
            "math_reasoning": 40,
            "text": 80,
            "multi_image": 40,
        }
    },
    "4": {
        "synthetic": True,
        "quotas": {
            "general": 60,
            "ocr": 40,
            "doc_chart": 40,
            "math_reasoning": 30,
            "text": 30,
            "multi_image": 30,
            "grounding": 60,
        },
    },
}


def write_catalogue(folder: Path, sources: Mapping[str, object], seed: int) -> None:
    """Writes ``catalogue/<source>.yaml`` for every source, and ``mixes/demo.yaml``."""
    (folder / "catalogue").mkdir(parents=True)
    for name in sources:
        body = {"name": name, "location": f"../{name}", "revision": f"seed-{seed}", "owners": ["team:demo"]}
        _write(folder / "catalogue" / f"{name}.yaml", body | SPECS[name])
    (folder / "mixes").mkdir()
    _write(folder / "mixes" / "demo.yaml", {"seed": seed, "mixes": dict(MIXES)})


class _Plain(yaml.SafeDumper):
    """Writes equal values in full: an alias would hide that two stages ask for the same."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias."""
        return True


def _write(path: Path, body: Mapping[str, Any]) -> None:
    text = yaml.dump(body, Dumper=_Plain, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8", newline="\n")
