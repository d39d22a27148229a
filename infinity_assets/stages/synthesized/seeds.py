"""Examples for questions: what people asked of pictures like this one, from the pinned seed set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.stages.synthesized.facts import Facts

#: Raised whenever the same seed set would give other examples.
SEEDS_VERSION: Final = 1

#: Candidates of a leaf, at most: those with the smallest ids, which are hashes. Our choice.
POOL: Final = 256

_COLUMNS: Final = {"leaf": pl.String, "sample_id": pl.String, "source": pl.String, "exchange": pl.Int64}


@dataclass(frozen=True, slots=True)
class Example:
    """One question of the seed set."""

    sample_id: str
    source: str
    exchange: int  #: number of the user's turn that asks it, of those that say something
    image_id: str
    tags: tuple[str, ...]


def candidates(tagged: Iterable[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    """The questions that may serve, by leaf: at most twice :data:`POOL` of each.

    Args:
        tagged: sources with ``sample_id`` and ``instruction_l3`` of ``tagged``, in any number of pieces.

    Returns:
        ``leaf``, ``sample_id``, ``source``, ``exchange``. Twice the pool, since samples with other than one
        picture are left out later.
    """
    best = pl.DataFrame(schema=_COLUMNS)
    for source, rows in tagged:
        asked = rows.select(
            "sample_id",
            leaf="instruction_l3",
            exchange=pl.int_ranges(pl.col("instruction_l3").list.len()),
            source=pl.lit(source),
        )
        asked = asked.filter(pl.col("leaf").list.len() > 0).explode("leaf", "exchange").drop_nulls("leaf")
        first = asked.unique(["leaf", "sample_id"], keep="first", maintain_order=True)
        both = pl.concat([best, first.select(_COLUMNS.keys())], how="vertical_relaxed")
        both = both.sort("leaf", pl.col("sample_id").str.slice(-32), "sample_id")
        best = both.group_by("leaf", maintain_order=True).head(2 * POOL)
    return best.select(_COLUMNS.keys())


class Pool:
    """The examples of each leaf, ready to be compared with pictures by their tags."""

    def __init__(self, examples: Mapping[str, Sequence[Example]]) -> None:
        self._by_leaf = {leaf: _Leaf(found[:POOL]) for leaf, found in examples.items()}

    def nearest(self, facts: Facts, leaf: str, count: int) -> list[Example]:
        """The examples of a leaf whose pictures share most tags with this one (Jaccard); ties by id.

        Never the picture itself, and no picture twice: an example must not hold the answer.
        """
        found = self._by_leaf.get(leaf)
        return [] if found is None else list(found.nearest(facts, count))

    def __iter__(self) -> Iterator[tuple[str, Example]]:
        """All examples with their leaves."""
        for leaf, found in self._by_leaf.items():
            yield from ((leaf, example) for example in found.examples)


class _Leaf:
    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = tuple(sorted(examples, key=lambda e: (e.sample_id[-32:], e.sample_id)))
        self._sizes = np.array([len(e.tags) for e in self.examples], np.int64)
        by_tag: dict[str, list[int]] = {}
        for place, example in enumerate(self.examples):
            for tag in example.tags:
                by_tag.setdefault(tag, []).append(place)
        self._by_tag = {tag: np.array(places, np.int64) for tag, places in by_tag.items()}

    def nearest(self, facts: Facts, count: int) -> Iterator[Example]:
        shown = {facts.image_id}
        for place in np.argsort(-self._jaccard(facts.tags), kind="stable").tolist():
            if len(shown) > count:
                return
            example = self.examples[place]
            if example.image_id not in shown:
                shown.add(example.image_id)
                yield example

    def _jaccard(self, tags: Sequence[str]) -> npt.NDArray[np.float64]:
        places = [self._by_tag[tag] for tag in tags if tag in self._by_tag]
        hits = np.concatenate(places) if places else np.zeros(0, np.int64)
        both = np.bincount(hits, minlength=len(self.examples)).astype(np.float64)
        return both / np.maximum(1, self._sizes + len(tags) - both)


def to_json(pool: Mapping[str, Sequence[Example]]) -> dict[str, Any]:
    """Plain values, the inverse of :func:`from_json`. Ids and tags, no text."""
    return {leaf: [[e.sample_id, e.source, e.exchange, e.image_id, e.tags] for e in found]
            for leaf, found in pool.items()}  # fmt: skip


def from_json(value: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, list[Example]]:
    """Read what :func:`to_json` wrote."""
    return {leaf: [_example(*row) for row in found] for leaf, found in value.items()}


def _example(sample_id: str, source: str, exchange: int, image_id: str, tags: Sequence[str]) -> Example:
    return Example(sample_id, source, exchange, image_id, tuple(tags))
