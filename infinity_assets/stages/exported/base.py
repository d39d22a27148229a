"""What every exporter gives and gets. An exporter knows one format; it knows no store and no plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infinity_assets.stages.exported.files import HashedFile

#: Roles as LLaVA's ``from`` names them; the format has no other names for system and tool turns.
SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}
ROLES = {speaker: role for role, speaker in SPEAKERS.items()}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as it is exported."""

    name: str  #: ``<image_id>.<true suffix>``; ``<image_id>-2048.<suffix>`` where it was made smaller
    data: bytes | memoryview
    phash: int | None  #: unsigned 64 bits, of the stored picture

    @property
    def suffix(self) -> str:
        """True suffix, without the dot."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the plan."""

    key: str  #: sample id; ``-1``, ``-2``, ... behind it from the second reading on
    source: str
    turns: Sequence[dict[str, str]]  #: ``role`` and ``text``
    pictures: tuple[Picture, ...]
    upstream: str  #: JSON of the measures that upstream ships


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A line as it stands in an export."""

    key: str
    pairs: tuple[tuple[str, str], ...]  #: see :func:`fold_pairs`
    pictures: tuple[str, ...]  #: names


class Shard(Protocol):
    """One shard that is being written."""

    def add(self, sample: Sample) -> None:
        """Append a line."""
        ...

    def close(self) -> None:
        """Write what is left; the caller closes the file."""
        ...


class Exporter(Protocol):
    """One format. Registered in ``formats.py``."""

    format: str
    version: int  #: raised when the same lines give other bytes
    suffix: str  #: of shards

    def open(self, file: HashedFile, folder: Path) -> Shard:
        """Begin a shard.

        Args:
            file: where its bytes go.
            folder: the export's folder, for what lies beside the shards.
        """
        ...

    def finish(self, folder: Path, shards: Sequence[str]) -> None:
        """Write what describes all shards, if the format has such a thing."""
        ...

    def read(self, folder: Path, shards: Sequence[str]) -> Iterator[ReadBack]:
        """Every line in order, read without this package's writers; to check an export."""
        ...


def fold_pairs(turns: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Turns as (user, assistant) pairs, for formats that know nothing else.

    All that stands before an assistant's turn (system, user, tool) is joined by blank lines. An answer
    without a question has an empty question, a question without an answer an empty answer.

    Args:
        turns: (role, text).
    """
    pairs: list[tuple[str, str]] = []
    asked: list[str] = []
    for role, text in turns:
        if role == "assistant":
            pairs.append(("\n\n".join(asked), text))
            asked = []
        else:
            asked.append(text)
    if asked:
        pairs.append(("\n\n".join(asked), ""))
    return tuple(pairs)


def conversations(sample: Sample) -> list[dict[str, str]]:
    """Turns as LLaVA writes them: ``from`` and ``value``."""
    return [{"from": SPEAKERS[t["role"]], "value": t["text"]} for t in sample.turns]


def pairs_of(conversation: Sequence[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    """:func:`fold_pairs` of a LLaVA conversation."""
    return fold_pairs([(ROLES[t["from"]], t["value"]) for t in conversation])
