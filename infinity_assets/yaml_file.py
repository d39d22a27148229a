"""YAML files that people write (sources, mixes, policies): read, checked, and every problem told by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from infinity_assets.errors import CatalogueError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file."""

    file: str
    line: int  #: from 1; the first line of the file where no better is known
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def read_validated(
    path: Path, shown: str, whole: str, parse: Callable[[Any], T]
) -> tuple[T | None, list[Problem]]:
    """What ``parse`` makes of a file, or every problem that it has.

    Args:
        path: the file.
        shown: how problems name it.
        whole: how problems name its top level.
        parse: may raise pydantic's ValidationError.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        twice = _repeated_keys(node)
        value = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        return None, [Problem(shown, 1, f"not UTF-8 at byte {error.start}")]
    except OSError as error:
        return None, [Problem(shown, 1, f"cannot be read: {error.strerror}; name an existing file")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        told = " ".join(str(getattr(error, "problem", None) or error).split())
        return None, [Problem(shown, line, f"not YAML: {told}")]
    except (ValueError, TypeError, RecursionError) as error:  # 2024-13-45 as a date, a list as a key
        return None, [Problem(shown, 1, f"not YAML: {error}; quote values that look like dates")]
    if twice:
        # YAML lets the last of two equal keys win in silence; a decision must not.
        return None, [Problem(shown, line, f"key {key!r} is given twice") for key, line in twice]
    if not isinstance(value, dict):
        return None, [Problem(shown, 1, f"a {whole} file is a mapping (key: value)")]
    try:
        return parse(value), []
    except ValidationError as error:
        problems = [
            Problem(shown, _line_of(node, where), f"{'.'.join(where) or whole}: {message}")
            for where, message in _told(error)
        ]
        return None, sorted(problems, key=lambda problem: problem.line)


def read_or_refuse(path: Path, whole: str, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of a file that something cannot do without; see :func:`read_validated`.

    Raises:
        CatalogueError: if the file is missing or wrong, with every problem's file, line and field.
    """
    found, problems = read_validated(path, str(path), whole, parse)
    if found is None:
        raise CatalogueError("\n".join(map(str, problems)))
    return found


def line_of_key(path: Path, key: str) -> int:
    """Line of a top-level key of a valid file, from 1."""
    return _line_of(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), [key])


def _told(error: ValidationError) -> Iterator[tuple[list[str], str]]:
    """Where and what of each problem; a model inside a value (a reader's options) tells its own."""
    for item in error.errors():
        where = [str(part) for part in item["loc"] if part != "[key]"]
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from (([*where, *inner], message) for inner, message in _told(cause))
        else:
            yield where, item["msg"].removeprefix("Value error, ")


def _repeated_keys(root: Any) -> list[tuple[str, int]]:
    """Keys given twice in one mapping, with their lines; a node that aliases name often is read once."""
    found: list[tuple[str, int]] = []
    met: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            seen: set[str] = set()
            for key in keys:
                if key.value in seen:
                    found.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
    return sorted(found, key=lambda item: item[1])


def _line_of(node: Any, where: list[str]) -> int:
    """Line of the deepest part of ``where`` that the file has."""
    line = 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
