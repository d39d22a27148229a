"""Any other JSON, JSONL or CSV, by a declarative mapping of fields.

Texts are templates: ``{name}`` stands for the row's field, ``{a.b}`` for a field inside another, and nothing
else in braces is special. One row is one record, a CSV of boxes too (a record for each box): every record
then has its own locator, and rows of one picture meet again by the picture's hash.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from infinity_assets.readers.base import Annotation, MediaKind, ReaderOptions, Role, Turn, canonical_json
from infinity_assets.readers.chat import MediaOptions, media_list, with_markers, without
from infinity_assets.readers.rows import BadRow, Parts, RowReader

Name = Annotated[str, StringConstraints(min_length=1)]

_FIELD = re.compile(r"\{([A-Za-z0-9_+ -]+(?:\.[A-Za-z0-9_+ -]+)*)\}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class BoxOptions(BaseModel):
    """Fields of a box in pixels, and of its class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corners: tuple[Name, Name, Name, Name]  #: fields of x0, y0, x1, y1
    label: Name | None = None


class MappingOptions(MediaOptions):
    """What becomes of a row's fields; a field without a place goes to extras."""

    rows: str = ""  #: keys that lead to the list of rows in an object, joined by dots
    columns: tuple[str, ...] = ()  #: names of CSV columns, where the file has no header row
    id: Name = "id"  #: field with the row's own id, where there is one
    system: str | None = None  #: template
    question: str | None = None  #: template; ``{choices}`` is the list of choices, one a line
    answer: str | None = None  #: template
    image: Name | None = None  #: field with a path or a list of paths
    video: Name | None = None
    audio: Name | None = None
    choices: Name | None = None  #: field with a list of texts, or an object from letter to text
    box: BoxOptions | None = None
    #: Native marks in texts, and what replaces them (``<image>``, or nothing).
    markers: dict[str, str] = Field(default_factory=dict)


class MappingReader(RowReader[MappingOptions]):
    """Rows by mapping. Media without any marker get theirs at the first user turn."""

    name = "mapping"
    Options: type[ReaderOptions] = MappingOptions
    patterns: tuple[str, ...] = ("**/*.json", "**/*.jsonl", "**/*.csv", "**/*.tsv")

    def id_field(self, options: MappingOptions) -> str:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        return options.id

    def rows_path(self, options: MappingOptions) -> tuple[str, ...]:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        return tuple(options.rows.split(".")) if options.rows else ()

    def columns(self, options: MappingOptions) -> tuple[str, ...]:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        return options.columns

    def convert(self, row: Mapping[str, Any], options: MappingOptions) -> Parts:
        """See :class:`~infinity_assets.readers.rows.RowReader`."""
        parts = Parts()
        used = {options.id}
        fields: tuple[tuple[MediaKind, str | None], ...] = (
            ("image", options.image),
            ("video", options.video),
            ("audio", options.audio),
        )
        for medium, name in fields:
            if name is not None:
                parts.media += media_list(row.get(name), medium, options, name)
                used.add(name)
        listed = ""
        if options.choices is not None:
            choices = _choices(_get(row, options.choices), options.choices)
            parts.annotations += [Annotation("choice", label=k, text=v) for k, v in choices.items()]
            listed = "\n".join(f"{label}. {text}" for label, text in choices.items())
            used.add(options.choices)
        if options.box is not None:
            parts.annotations.append(_box(row, options.box, bool(parts.media)))
            used |= {*options.box.corners, *([options.box.label] if options.box.label else [])}
        turns = []
        templates: tuple[tuple[Role, str | None], ...] = (
            ("system", options.system),
            ("user", options.question),
            ("assistant", options.answer),
        )
        for role, template in templates:
            if template is not None:
                text = _fill(template, row, listed if options.choices else None)
                for native, marker in options.markers.items():
                    text = text.replace(native, marker)
                turns.append(Turn(role, text))
                used |= set(_FIELD.findall(template))
                if role == "assistant":
                    parts.annotations.append(Annotation("answer", text=text))
        parts.turns = with_markers(turns, parts.media)
        parts.extras = without(row, used)
        return parts


def _get(row: Mapping[str, Any], name: str) -> Any:
    """A field, or a field inside another.

    Raises:
        BadRow: ``bad_record`` if the row has no such field.
    """
    if name in row:
        return row[name]
    value: Any = row
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            raise BadRow(
                "bad_record", f"no field {name!r}; the row has {[key[:40] for key in list(row)[:12]]}"
            )
        value = value[key]
    return value


def _fill(template: str, row: Mapping[str, Any], choices: str | None) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        return choices if name == "choices" and choices is not None else _text(_get(row, name), name)

    return _FIELD.sub(value_of, template)


def _text(value: Any, name: str) -> str:
    """A value as text: lists joined by commas, numbers as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(_text(item, name) for item in value)
    if value is None or isinstance(value, dict):
        raise BadRow("bad_record", f"the field {name!r} holds no text")
    return canonical_json(value).decode()


def _choices(value: Any, name: str) -> dict[str, str]:
    if isinstance(value, dict):
        return {label: _text(text, name) for label, text in value.items()}
    if isinstance(value, list) and len(value) <= len(_LETTERS):
        return {label: _text(text, name) for label, text in zip(_LETTERS, value, strict=False)}
    raise BadRow("bad_record", f"the choices {name!r} are neither an object nor a list of at most 26")


def _box(row: Mapping[str, Any], options: BoxOptions, has_image: bool) -> Annotation:
    corners: list[float] = []
    for name in options.corners:
        try:
            corner = float(_get(row, name))
        except (TypeError, ValueError):
            corner = math.nan
        if not math.isfinite(corner):
            raise BadRow("bad_record", f"the corner {name!r} is no number: {str(row.get(name))[:40]!r}")
        corners.append(corner)
    x0, y0, x1, y1 = corners
    label = _text(_get(row, options.label), options.label) if options.label else None
    return Annotation("box", label=label, box=(x0, y0, x1, y1), image=0 if has_image else None)
