"""COCO: captions, instances and keypoints of one JSON object, joined with its images and licences.

One record for each caption; one for each image of instances and keypoints. Format: cocodataset.org,
"Data format".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, model_validator

from infinity_assets.readers.base import (
    Annotation,
    Locator,
    Media,
    ReaderOptions,
    Record,
    RowError,
    Slice,
    canonical_json,
)
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.joined import (
    JsonList,
    as_id,
    check_template,
    find_splits,
    image_path,
    join,
    list_ids,
    locate,
    names_by_id,
    plan_join,
)
from infinity_assets.readers.json_rows import Row, read_json
from infinity_assets.readers.native_fields import DEFAULT_PROMPT, caption_turns, json_text, native_id
from infinity_assets.readers.rows import BadRow

Kind = Literal["captions", "instances", "keypoints"]
KINDS: tuple[Kind, ...] = ("captions", "instances", "keypoints")
Template = Annotated[str, AfterValidator(check_template)]


class CocoOptions(ReaderOptions):
    """Where the files lie, as templates, e.g. ``annotations/captions_{split}.json``."""

    captions: Template | None = None
    instances: Template | None = None
    keypoints: Template | None = None
    images: Template = "{file_name}"  #: path of an image, e.g. ``{split}/{file_name}``
    prompt: str = DEFAULT_PROMPT  #: the user's turn before a caption

    @model_validator(mode="after")
    def _some_file(self) -> CocoOptions:
        if not any(getattr(self, kind) for kind in KINDS):
            raise ValueError("give at least one of captions, instances and keypoints")
        return self


@dataclass(frozen=True, slots=True)
class _File:
    """What holds for all records of one file."""

    path: str
    split: str
    options: CocoOptions
    licences: Mapping[str | int, str]
    categories: Mapping[str | int, str]


class Coco:
    """Boxes become corners in pixels; what else an annotation holds is its ``data``."""

    name = "coco"
    version = 1
    Options: type[ReaderOptions] = CocoOptions
    patterns: tuple[str, ...] = ("**/*.json",)

    def plan(self, files: SourceFiles, options: CocoOptions) -> Iterator[Slice]:
        """Slices of 8 MiB of captions, or of images; a file that the template does not fit is not read."""
        for kind in KINDS:
            template = getattr(options, kind)
            for entry, split in find_splits(files, template) if template else ():
                leading = ("annotations",) if kind == "captions" else ("images",)
                at = locate(files, entry.path, ("images", "annotations", "licenses", "categories"))
                yield from plan_join(files, entry, leading, None, (("kind", kind), ("split", split), *at))

    def read(self, files: SourceFiles, piece: Slice, options: CocoOptions) -> Iterator[Record]:
        """The slice's records; the last slice also tells of annotations whose image is not there."""
        args = dict(piece.args)
        rows = list(read_json(files, piece))
        captions = args["kind"] == "captions"
        lists = {
            name: JsonList(files, piece.file, name, int(args[f"at_{name}"]))
            for name in ("images", "annotations", "licenses", "categories")
        }
        about = _File(
            piece.file,
            str(args["split"]),
            options,
            names_by_id(lists["licenses"]),
            {} if captions else names_by_id(lists["categories"]),
        )
        if captions:
            yield from _captions(rows, about, lists["images"])
        else:
            every = list_ids(lists["images"], "id") if args["last"] else None
            yield from _images(rows, about, lists["annotations"], every)


def _captions(rows: list[Row], about: _File, listed: JsonList) -> Iterator[Record]:
    wanted = [one for row in rows if (one := _field(row, "image_id")) is not None]
    images = join(listed, "id", wanted)
    for row in rows:
        locator = Locator(about.path, row.locator.row, f"annotations[{row.locator.row}]", row.locator.offset)
        image_id = _field(row, "image_id")
        if row.error is not None or not isinstance(row.value, dict):
            yield _bad(locator, row)
            continue
        found = images.found.get(image_id, []) if image_id is not None else []
        if len(found) != 1:
            problem = images.cut or f"image_id {image_id} is {len(found)} times in the list 'images'"
            yield _failed(locator, row.raw, row.value.get("id"), BadRow("bad_record", problem))
            continue
        image = orjson.loads(found[0])
        raw = canonical_json({"annotation": row.value, "image": image})
        try:
            yield _caption(locator, raw, row.value, image, about)
        except BadRow as bad:
            yield _failed(locator, raw, row.value.get("id"), bad)


def _caption(
    locator: Locator, raw: bytes, annotation: Mapping[str, Any], image: Mapping[str, Any], about: _File
) -> Record:
    text = annotation.get("caption")
    if not isinstance(text, str) or not text.strip():
        raise BadRow("bad_record", "the caption is empty or no text")
    rest = {k: v for k, v in annotation.items() if k not in ("id", "caption")}
    return Record(
        locator=locator,
        raw=raw,
        native_id=native_id(annotation.get("id")),
        turns=caption_turns(text, about.options.prompt),
        media=(_media(image, about),),
        annotations=(Annotation("caption", text=text, image=0),),
        extras={**rest, "image": image},
        licence=_licence(image, about),
    )


def _images(
    rows: list[Row], about: _File, annotations: JsonList, every: set[str | int] | None
) -> Iterator[Record]:
    wanted = Counter(one for row in rows if (one := _field(row, "id")) is not None)
    joined = join(annotations, "image_id", wanted, every)
    for row in rows:
        locator = Locator(about.path, row.locator.row, f"images[{row.locator.row}]", row.locator.offset)
        image_id = _field(row, "id")
        if row.error is not None or not isinstance(row.value, dict):
            yield _bad(locator, row)
            continue
        found = [orjson.loads(raw) for raw in joined.found.get(image_id, [])] if image_id is not None else []
        raw = canonical_json({"annotations": found, "image": row.value})
        try:
            if joined.cut is not None:  # boxes may be missing, so the image must not pass for complete
                raise BadRow("bad_record", joined.cut)
            if image_id is None or wanted[image_id] > 1:
                raise BadRow("bad_record", f"the image's id {image_id} is missing or repeated")
            yield Record(
                locator=locator,
                raw=raw,
                native_id=native_id(image_id),
                media=(_media(row.value, about),),
                annotations=tuple(_annotation(one, about) for one in found),
                extras={k: v for k, v in row.value.items() if k != "id"},
                licence=_licence(row.value, about),
            )
        except BadRow as bad:
            yield _failed(locator, raw, image_id, bad)
    yield from joined.strays


def _annotation(one: Mapping[str, Any], about: _File) -> Annotation:
    category = as_id(one.get("category_id"))
    name = None if category is None else about.categories.get(category)
    if name is None:
        raise BadRow("bad_record", f"annotation {one.get('id')}: no category {one.get('category_id')}")
    rest = {k: v for k, v in one.items() if k not in ("image_id", "bbox")}
    kind: Literal["box", "keypoints"] = "keypoints" if "keypoints" in one else "box"
    return Annotation(kind, label=name, box=_box(one), image=0, data=json_text(rest))


def _box(one: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """x, y, width, height as x0, y0, x1, y1."""
    box = one.get("bbox")
    numbers = (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in box)
    )
    if not numbers or box is None or box[2] < 0 or box[3] < 0:
        raise BadRow("bad_record", f"annotation {one.get('id')}: bbox is not x, y, width, height")
    x, y, width, height = (float(n) for n in box)
    return x, y, x + width, y + height


def _media(image: Mapping[str, Any], about: _File) -> Media:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise BadRow("bad_record", "the image has no file_name")
    fields = {"split": about.split, "file_name": name, "image_id": image.get("id")}
    return Media("image", image_path(about.options.images, fields))


def _licence(image: Mapping[str, Any], about: _File) -> str | None:
    one = as_id(image.get("license"))
    return None if one is None else about.licences.get(one)


def _field(row: Row, name: str) -> str | int | None:
    return as_id(row.value.get(name)) if isinstance(row.value, dict) else None


def _bad(locator: Locator, row: Row) -> Record:
    error = row.error or RowError("bad_record", f"{locator.file}, {locator.member}: not an object")
    return Record(locator, row.raw, error=error)


def _failed(locator: Locator, raw: bytes, identity: object, bad: BadRow) -> Record:
    error = RowError(bad.reason, f"{locator.file}, {locator.member}: {bad}")
    return Record(locator, raw, native_id(identity), error=error)
