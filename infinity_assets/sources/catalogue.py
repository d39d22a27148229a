"""Reading the catalogue: every source file of a folder, validated, with problems told line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infinity_assets.errors import CatalogueError
from infinity_assets.sources.model import SourceSpec

#: Files of a catalogue folder that are not sources.
NOT_SOURCES = frozenset({"mixes.yaml", "policy.yaml"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a catalogue."""

    file: str
    line: int  #: 1-based; the first line of the file where no better is known
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Source:
    """A valid source and where its file lies (relative locations start there)."""

    spec: SourceSpec
    file: Path

    @property
    def name(self) -> str:
        """The partition key."""
        return self.spec.name

    def line_of(self, key: str) -> int:
        """Line of a top-level key in the source's file, from 1."""
        return _line_of(yaml.compose(self.file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), [key])


class Catalogue(Mapping[str, Source]):
    """Sources by name, in alphabetical order."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sorted(sources.items()))

    def __getitem__(self, name: str) -> Source:
        try:
            return self._sources[name]
        except KeyError:
            known = ", ".join(self._sources) or "none"
            raise CatalogueError(f"no source named {name!r} in the catalogue; known: {known}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def load_catalogue(folder: Path) -> Catalogue:
    """All sources of a folder.

    Raises:
        CatalogueError: listing every problem, one a line.
    """
    catalogue, problems = read_catalogue(folder)
    if problems:
        raise CatalogueError("\n".join(str(p) for p in problems))
    return catalogue


def read_catalogue(folder: Path) -> tuple[Catalogue, list[Problem]]:
    """The valid sources of a folder, and what is wrong with the others."""
    if not folder.is_dir():
        return Catalogue({}), [Problem(str(folder), 1, "no such folder; give the folder of the source files")]
    sources: dict[str, Source] = {}
    problems: list[Problem] = []
    files = sorted(p for p in folder.iterdir() if p.suffix in {".yaml", ".yml"} and p.name not in NOT_SOURCES)
    for path in files:
        found, wrong = _read_source(path)
        problems += wrong
        if found is None:
            continue
        if found.name in sources:
            other = sources[found.name].file.name
            problems.append(Problem(path.name, 1, f"name {found.name!r} is taken by {other}"))
            continue
        sources[found.name] = found
    if not files:
        problems.append(Problem(str(folder), 1, "no source files (*.yaml) here"))
    return Catalogue(sources), problems


def _read_source(path: Path) -> tuple[Source | None, list[Problem]]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem(path.name, 1, f"cannot be read: {error}")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        return None, [Problem(path.name, line, f"not YAML: {getattr(error, 'problem', None) or error}")]
    except (ValueError, RecursionError) as error:  # 2024-13-45 looks like a date to YAML
        return None, [Problem(path.name, 1, f"not YAML: {error}; quote values that look like dates")]
    if not isinstance(value, dict):
        return None, [Problem(path.name, 1, "a source file is a mapping (name: ..., reader: ...)")]
    repeated = _repeated_keys(node)
    if repeated:
        return None, [Problem(path.name, line, f"key {key!r} is given twice") for key, line in repeated]
    try:
        spec = SourceSpec.model_validate(value)
    except ValidationError as error:
        problems = []
        for where, message in _told(error):
            problems.append(
                Problem(path.name, _line_of(node, where), f"{'.'.join(where) or 'source'}: {message}")
            )
        return None, problems
    return Source(spec, path.absolute()), []


def _told(error: ValidationError) -> Iterator[tuple[list[str], str]]:
    """Where and what of each problem; a reader's options are a model of their own inside the source's."""
    for item in error.errors():
        where = [str(part) for part in item["loc"]]
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from (([*where, *inner], message) for inner, message in _told(cause))
        else:
            yield where, item["msg"].removeprefix("Value error, ")


def _repeated_keys(node: Any) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                found.append((key.value, key.start_mark.line + 1))
            seen.add(key.value)
            found += _repeated_keys(value)
    return found


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
