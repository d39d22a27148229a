"""Native formats: one function for each source writes its samples and says where each of them stands."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infinity_assets.demo.defects import Locator
from infinity_assets.demo.parts import Sample, without_marker
from infinity_assets.demo.sprites import THINGS

#: Where a sample stands, and under which id; a COCO picture is two records (its caption, its boxes).
Places = list[tuple[int, str | None, Locator]]  #: index of the sample, native id, locator
Row = dict[str, Any]


def write_source(name: str, samples: Sequence[Sample], folder: Path) -> Places:
    """Writes one source below ``folder``, pictures included.

    Returns:
        For every record written: the index of its sample, its native id (None where a line is no JSON), and
        its locator.
    """
    folder.mkdir(parents=True)
    return _WRITERS[name](samples, folder)


def _pictures(samples: Sequence[Sample], root: Path) -> None:
    """Writes the pictures; one whose data is None stays missing, and names that leave the root have none."""
    made: set[Path] = set()
    for sample in samples:
        for picture in sample.pictures:
            if picture.data is None:
                continue
            path = root / picture.name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(picture.data)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _array(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("[\n" + ",\n".join(_json(r) for r in rows) + "\n]\n", encoding="utf-8", newline="\n")


def _lines(path: Path, samples: Sequence[Sample], row: Callable[[Sample], Row]) -> None:
    lines = [s.raw_line if s.raw_line is not None else _json(row(s)) for s in samples]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _places(samples: Sequence[Sample], file: str, first: int = 0) -> Places:
    return [
        (first + k, s.native_id if s.raw_line is None else None, Locator(file, k))
        for k, s in enumerate(samples)
    ]


def _conversation(sample: Sample) -> list[Row]:
    return [{"from": "human" if role == "user" else "gpt", "value": text} for role, text in sample.turns]


def _llava(samples: Sequence[Sample], folder: Path) -> Places:
    rows = [
        {"id": s.native_id, "image": s.pictures[0].name, "conversations": _conversation(s)} for s in samples
    ]
    _array(folder / "scenes.json", rows)
    _pictures(samples, folder)
    return _places(samples, "scenes.json")


def _coco(samples: Sequence[Sample], folder: Path) -> Places:
    licences = sorted({s.licence for s in samples if s.licence})
    names = sorted(THINGS)
    images: list[Row] = []
    captions: list[Row] = []
    boxes: list[Row] = []
    places: Places = []
    for k, s in enumerate(samples):
        number = int(s.native_id)
        width, height = s.facts["size"]
        licence = licences.index(s.licence) + 1 if s.licence else 0
        images.append(
            {
                "id": number,
                "file_name": s.pictures[0].name,
                "width": width,
                "height": height,
                "license": licence,
            }
        )
        captions.append({"id": 100_000 + number, "image_id": number, "caption": s.facts["caption"]})
        for thing, (x0, y0, x1, y1) in s.facts["boxes"]:
            w, h = x1 - x0, y1 - y0
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number,
                    "category_id": names.index(thing) + 1,
                    "bbox": [x0, y0, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
        places.append((k, str(100_000 + number), Locator("annotations/captions_train.json", k)))
        places.append((k, str(number), Locator("annotations/instances_train.json", k)))
    common = {
        "info": {"description": "Drawn scenes", "version": "1.0"},
        "licenses": [{"id": i + 1, "name": name, "url": ""} for i, name in enumerate(licences)],
        "images": images,
    }  # fmt: skip
    (folder / "annotations").mkdir()
    categories = [{"id": i + 1, "name": name, "supercategory": "thing"} for i, name in enumerate(names)]
    for name, body in (
        ("captions", {"annotations": captions}),
        ("instances", {"annotations": boxes, "categories": categories}),
    ):
        path = folder / f"annotations/{name}_train.json"
        path.write_text(_json(common | body) + "\n", encoding="utf-8", newline="\n")
    _pictures(samples, folder / "train")
    return places


_CAULDRON = pa.schema(
    [
        ("id", pa.string()),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("texts", pa.list_(pa.struct([("user", pa.string()), ("assistant", pa.string()), ("source",
        pa.string())]))),
    ]
)  # fmt: skip


def _cauldron(samples: Sequence[Sample], folder: Path) -> Places:
    places: Places = []
    half = (len(samples) + 1) // 2
    for part, first in enumerate((0, half)):
        chosen = samples[first : first + half]
        rows = [
            {
                "id": s.native_id,
                "images": [{"bytes": p.data, "path": p.name} for p in s.pictures],
                "texts": [
                    {"user": without_marker(q), "assistant": a, "source": "drawn_charts"}
                    for (_, q), (_, a) in zip(s.turns[::2], s.turns[1::2], strict=True)
                ],
            }
            for s in chosen
        ]
        name = f"train-{part:05d}-of-00002.parquet"
        table = pa.Table.from_pylist(rows, schema=_CAULDRON)
        pq.write_table(table, folder / name, row_group_size=64, compression="zstd")
        places += _places(chosen, name, first)
    return places


def _vqa(samples: Sequence[Sample], folder: Path) -> Places:
    questions: list[Row] = []
    answers: list[Row] = []
    for s in samples:
        number, image = int(s.native_id), s.facts["image_id"]
        answer = s.turns[1][1]
        questions.append(
            {"question_id": number, "image_id": image, "question": without_marker(s.turns[0][1])}
        )
        kind = "yes/no" if answer in {"yes", "no"} else "number" if answer.isdigit() else "other"
        people = [
            {
                "answer_id": k + 1,
                "answer": answer,
                "answer_confidence": "maybe" if k == number % 10 else "yes",
            }
            for k in range(10)
        ]
        answers.append(
            {
                "question_id": number,
                "image_id": image,
                "question_type": "table",
                "answer_type": kind,
                "multiple_choice_answer": answer,
                "answers": people,
            }
        )
    for name, rows in (("questions", questions), ("annotations", answers)):
        body = {"data_type": "drawn_tables", "data_subtype": "train", name: rows}
        (folder / f"{name}_train.json").write_text(_json(body) + "\n", encoding="utf-8", newline="\n")
    _pictures(samples, folder / "train")
    return _places(samples, "questions_train.json")


def _infinity_mm(samples: Sequence[Sample], folder: Path) -> Places:
    places: Places = []
    half = (len(samples) + 1) // 2
    for part, first in enumerate((0, half)):
        name = f"documents-{part:05d}.tar"
        with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as tar:
            for k, s in enumerate(samples[first : first + half]):
                body: Row = {
                    "id": s.native_id,
                    "source": "drawn_documents",
                    "conversations": _conversation(s),
                }
                if s.pictures:
                    body["image"] = f"/data/{s.pictures[0].name}"
                if "tags" in s.facts:
                    body |= {
                        "ram++_tags": s.facts["tags"],
                        "ram++_tags_score": s.facts["logits"],
                        "phash": [s.facts["phash"]],
                    }
                if "loss" in s.facts:
                    body["qw2vl_loss"] = s.facts["loss"]
                _member(tar, f"{s.native_id}.json", _json(body).encode())
                _member(tar, f"{s.native_id}.jpg", (s.pictures[0].data or b"") if s.pictures else b"")
                places.append((first + k, s.native_id, Locator(name, k, s.native_id)))
    return places


def _member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # time, owner and mode stay at their fixed defaults
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _formulas(samples: Sequence[Sample], folder: Path) -> Places:
    def row(s: Sample) -> Row:
        name = s.pictures[0].name
        made = {
            "id": s.native_id,
            "image": name,
            "question": without_marker(s.turns[0][1]),
            "answer": s.turns[1][1],
        }
        return made | ({"license": s.licence} if s.licence is not None else {})

    _lines(folder / "formulas.jsonl", samples, row)
    _pictures(samples, folder)
    return _places(samples, "formulas.jsonl")


def _captions(samples: Sequence[Sample], folder: Path) -> Places:
    def row(s: Sample) -> Row:
        return {"id": s.native_id, "image": s.pictures[0].name, "text": s.turns[1][1]}

    _lines(folder / "alt_texts.jsonl", samples, row)
    _pictures(samples, folder)
    return _places(samples, "alt_texts.jsonl")


def _alpaca(samples: Sequence[Sample], folder: Path) -> Places:
    rows = [
        {"id": s.native_id, "instruction": s.facts["instruction"], "input": s.facts["input"],
            "output": s.turns[1][1]}
        for s in samples
    ]  # fmt: skip
    _array(folder / "exercises.json", rows)
    return _places(samples, "exercises.json")


def _messages(samples: Sequence[Sample], folder: Path) -> Places:
    def row(s: Sample) -> Row:
        messages = [{"role": role, "content": text} for role, text in s.turns]
        return {"id": s.native_id, "messages": messages, "images": [p.name for p in s.pictures]}

    _lines(folder / "changes.jsonl", samples, row)
    _pictures(samples, folder)
    return _places(samples, "changes.jsonl")


def _folder(samples: Sequence[Sample], folder: Path) -> Places:
    _pictures(samples, folder)
    return [(k, s.native_id, Locator(s.pictures[0].name)) for k, s in enumerate(samples)]


def _csv(samples: Sequence[Sample], folder: Path) -> Places:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("id", "image", "question", "answer", "ability"))
    for s in samples:
        table.writerow(
            (
                s.native_id,
                s.pictures[0].name,
                without_marker(s.turns[0][1]),
                s.turns[1][1],
                s.facts["ability"],
            )
        )
    (folder / "benchmark.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    _pictures(samples, folder)
    return _places(samples, "benchmark.csv")


_WRITERS: Mapping[str, Callable[[Sequence[Sample], Path], Places]] = {
    "demo_scenes_llava": _llava,
    "demo_scenes_coco": _coco,
    "demo_charts_parquet": _cauldron,
    "demo_tables_vqa": _vqa,
    "demo_documents_wds": _infinity_mm,
    "demo_formulas_jsonl": _formulas,
    "demo_ui_captions": _captions,
    "demo_text_alpaca": _alpaca,
    "demo_multi_image_messages": _messages,
    "demo_things_folder": _folder,
    "demo_eval": _csv,
}
