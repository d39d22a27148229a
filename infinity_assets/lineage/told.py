"""A passport for a terminal and for a script. Stored text obeys nothing: it is escaped, and it is cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from infinity_assets.errors import one_line
from infinity_assets.lineage.limits import Limit
from infinity_assets.lineage.passport import Edge, Passport, Step

TEXT: Final = 400  #: characters of one text that a terminal is given

#: Columns that a step shows elsewhere, or that say nothing of the sample.
_TOLD_ELSEWHERE: Final = frozenset(
    {"sample_id", "source", "line_id", "verdict", "reason", "detail", "policy", "measures", "turns", "media"}
    | {"locator", "extras", "upstream", "annotations", "native_id", "record_hash", "licence", "image_ids"}
    | {"parent_ids", "line_ids", "made_from"}
)


def as_json(found: Passport) -> dict[str, Any]:
    """All of it as JSON values: binary in hex, maps as objects, numbers that JSON lacks as text."""
    told: dict[str, Any] = _plain(asdict(found))
    return told


def measures_of(step: Step) -> Iterator[tuple[str, Any]]:
    """What a stage measured, by name, without what its limits show and what was not measured.

    A map is one measure for each key.
    """
    limited = {limit.measure for limit in step.limits}
    for name, value in step.row.items():
        if name == "measures":
            yield from sorted((k, number) for k, number in value if number is not None and k not in limited)
        elif name not in _TOLD_ELSEWHERE and name not in limited and value is not None and value != []:
            yield name, value.hex() if isinstance(value, bytes) else value


def as_text(found: Passport) -> Iterator[str]:
    """Lines for a terminal."""
    yield f"{'line' if found.kind == 'line' else 'sample'}     {found.sample_id}"
    yield from _origin(found)
    for turn in found.row.get("turns", []):
        yield f"{turn['role']:<10} {_cut(turn['text'])}"
    for i, picture in enumerate(found.pictures):
        told = [
            f"{name} {_shown(picture[name])}"
            for name in ("width", "height", "format", "blur", "entropy")
            if picture.get(name) is not None
        ]
        reason = f"{picture['reason']} " if picture.get("reason") else ""
        yield f"picture    {found.row['media'][i]['image_id']} {reason}{', '.join(told)}"
        for limit in found.picture_limits[i]:
            yield f"  {_limit(limit)}"
    for step in found.steps:
        yield ""
        yield from _step(step)
    for edge in found.edges:
        yield ""
        yield f"duplicate  {_edge(edge)}"
    for line in found.lines:
        yield ""
        yield from _line(line)
    for place in found.exports:
        yield ""
        at = f"member {place.member}" if place.member else f"line {place.line}"
        yield f"export     {place.format} {place.training_stage}: {one_line(place.file)}, {at}"
        yield f"           line {place.position} of the plan, {one_line(place.folder)}, run {place.run_id}"
    for sample_id in found.used_by:
        yield f"in         {sample_id}"
    for sample_id in found.written:
        yield f"written    {sample_id}"


def _origin(found: Passport) -> Iterator[str]:
    row = found.row
    if found.kind == "gone":
        yield "origin     the source no longer has it; a later table was not made again yet"
    if "locator" in row:
        where = row["locator"]
        told = [f"{k} {where[k]}" for k in ("file", "row", "member", "offset") if where[k] is not None]
        yield f"record     {one_line(', '.join(told))}"
        if found.file is not None:
            size, revision = (
                f"{found.file['bytes']:,} bytes",
                one_line(found.file["revision"] or "none named"),
            )
            yield f"file       {found.file['content_hash']}, {size}, upstream revision {revision}"
        if row["native_id"] is not None:
            yield f"native id  {_cut(row['native_id'])}"
    for parent in row.get("parent_ids", []):
        yield f"parent     {parent}"
    if "licence" in row:
        yield f"licence    {_cut(row['licence'])}"


def _step(step: Step) -> Iterator[str]:
    reason = f" {step.reason}" if step.reason else ""
    detail = f": {_cut(step.detail)}" if step.detail else ""
    yield f"{step.stage} {step.partition}: {step.verdict}{reason}{detail}"
    made = step.made_in or "not kept with the row"
    later = f", published by run {step.published_in}" if step.made_in not in {"", step.published_in} else ""
    yield f"  run      {made}, code {step.made_by or 'unknown'}{later}"
    yield f"  version  {step.version} of Lance, data {step.data_version}"
    for name, value in measures_of(step):
        yield f"  {name:<24} {_cut(_shown(value))}"
    for limit in step.limits:
        yield f"  {_limit(limit)}"
    for name, value in step.settings.items():
        yield f"  policy {name:<17} {_shown(value)}"


def _limit(limit: Limit) -> str:
    if limit.limit is None:
        held = "off"
    else:
        held = f"{limit.measure} {_shown(limit.value)}, {limit.action} {limit.side} {_shown(limit.limit)}"
    return f"{'FAILS' if limit.failed else 'rule'}  {limit.rule:<21} {held}"


def _edge(edge: Edge) -> str:
    row = edge.row
    verb = "drops it" if edge.later else "is dropped by it"
    told = verb if row["decides"] else "recorded"
    score = "" if row["score"] is None else f", likeness {row['score']:.2f}"
    detail = f" ({_cut(row['detail'])})" if row["detail"] else ""
    return f"{edge.other_id} {row['kind']} distance {row['distance']:g}{score}, {told}{detail}"


def _line(line: Mapping[str, Any]) -> Iterator[str]:
    yield f"line       {line['line_id']}"
    for name, value in line.items():
        if name not in {"line_id", "media"} and value is not None and value != []:
            yield f"  {name:<24} {_cut(_shown(value))}"


def _shown(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value)


def _cut(text: str) -> str:
    return one_line(text if len(text) <= TEXT else f"{text[:TEXT]}...")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {
            k: dict(_plain(v)) if k == "measures" and isinstance(v, list) else _plain(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
