"""Read a model's text as JSON of a schema: strictly first, then as tolerantly as is safe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import orjson


def parse(text: str, schema: Mapping[str, Any]) -> tuple[Any | None, str]:
    """The value and an empty string, or None and what is wrong.

    Tolerated is what models and guided decoders are known to do: raw control characters in strings, a code
    fence, words before and after the value. Nothing is added or closed: half a value is not guessed at.
    """
    check = _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS))
    wrong = "not JSON"
    for candidate in _candidates(text):
        try:
            value = _load(candidate)
        except (ValueError, RecursionError) as error:
            wrong = f"not JSON: {error}"
            continue
        unlike = next(check.iter_errors(value), None)
        if unlike is None:
            return value, ""
        place = "/".join(str(part) for part in unlike.instance_path)
        wrong = f"not of the schema at /{place}: {unlike.message}"
    return None, wrong[:500]


def _candidates(text: str) -> Iterator[str]:
    yield text
    fenced = text.split("```")
    if len(fenced) >= 3:
        yield fenced[1].removeprefix("json")
    for opening, closing in ("{}", "[]"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end and (start > 0 or end < len(text) - 1):
            yield text[start : end + 1]


def _load(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        value = json.loads(text, strict=False, parse_constant=_no_constant)
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise ValueError(
                f"cannot be stored: {error}"
            ) from error  # half surrogates, integers over 64 bits
        return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(orjson.loads(schema))
