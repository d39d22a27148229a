"""Reading the catalogue: every source file of a folder, validated, with problems told line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infinity_assets.errors import CatalogueError
from infinity_assets.sources.model import SourceSpec
from infinity_assets.yaml_file import Problem, line_of_key, read_validated

#: Files of a catalogue folder that are not sources.
NOT_SOURCES = frozenset(
    {
        "associations.yaml",
        "engines.yaml",
        "mixes.yaml",
        "policy.yaml",
        "scoring.yaml",
        "synthesis.yaml",
    }
)

#: Category of the sources that are benchmarks.
EVALUATION = "evaluation"


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
        return line_of_key(self.file, key)


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


def benchmarks_in(catalogue: Mapping[str, Source]) -> list[str]:
    """Names of the sources that are benchmarks, sorted: what they hold is kept out of training."""
    return sorted(name for name, source in catalogue.items() if source.spec.category == EVALUATION)


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
    spec, problems = read_validated(path, path.name, "source", SourceSpec.model_validate)
    return (None if spec is None else Source(spec, path.absolute())), problems
