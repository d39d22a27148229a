"""Finding samples in the index: by filter, by words, by likeness; bounded in rows and in time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import numpy as np
import polars as pl

from infinity_assets.explorer.index import SampleIndex
from infinity_assets.explorer.query import Query, quoted
from infinity_assets.explorer.schema import STAGES
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE

PAGE_ROWS: Final = 48
HITS: Final = 1_000  #: best matches of words that are looked at
COUNTED: Final = 250_000  #: samples that counts beside the filters are taken of
SHOWN_VALUES: Final = 30  #: of one filter
NEAREST: Final = 24
CANDIDATES: Final = 200  #: of a source, whose questions are compared word by word
SECONDS: Final = 6.0  #: a view may take

_CARD: Final = ["sample_id", "source", "stage", "verdict", "reason", "detail", "findings", "tags"] + [
    "question_type",
    "language",
    "licence",
    "image_id",
]
_FACETS: Final = (
    "source",
    "stage",
    "verdict",
    "reason",
    "question_type",
    "language",
    "licence",
    "tag",
    "finding",
)
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")

Row = dict[str, Any]


@dataclass(slots=True)
class Clock:
    """How long a view may still take."""

    seconds: float = SECONDS
    _began: float = field(default_factory=monotonic)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return monotonic() - self._began > self.seconds


@dataclass(frozen=True, slots=True)
class View:
    """What a query found."""

    rows: tuple[
        Row, ...
    ] = ()  #: of ``INDEXED`` without texts and hashes; ``score`` where words were asked for
    total: int = 0  #: matches; at least so many where ``bounded``
    bounded: bool = False  #: whether there may be more than were looked at
    more: bool = False  #: whether there is a next page
    counts: Mapping[str, Sequence[tuple[str, int]]] = field(
        default_factory=dict
    )  #: by filter, the most first
    counted: int = 0  #: samples that the counts are of
    cut_at: str | None = (
        None  #: the source at which the time was up; this one and later ones are not looked at
    )


def look(index: SampleIndex, query: Query, clock: Clock, ids: Sequence[str] | None = None) -> View:
    """One page of what matches, and how it falls under each filter.

    Args:
        index: of all sources.
        query: filters, words and page; ``near`` is not looked at.
        clock: when to stop.
        ids: only these samples, where rows of a check or a mix are asked for.
    """
    return _by_words(index, query, clock, ids) if query.text else _by_filter(index, query, clock, ids)


def _by_filter(index: SampleIndex, query: Query, clock: Clock, ids: Sequence[str] | None) -> View:
    rows: list[Row] = []
    counts = _Counts(query)
    skip, total, counted, more, cut_at = query.page * PAGE_ROWS, 0, 0, False, None
    for source, dataset, where in _datasets(index, query, ids):
        if clock.over:
            cut_at = source
            break
        found = dataset.count_rows(where)
        total += found
        if counted < COUNTED and found:
            columns = counts.columns
            part = dataset.scanner(columns=columns, filter=where, limit=COUNTED - counted).to_table()
            counts.add(source, pl.DataFrame(pl.from_arrow(part)))
            counted += part.num_rows
        if skip >= found:
            skip -= found
            continue
        wanted = PAGE_ROWS - len(rows)
        if wanted:
            scanner = dataset.scanner(columns=_CARD, filter=where, limit=wanted, offset=skip or None)
            rows += scanner.to_table().to_pylist()
        more = more or found - skip > wanted
        skip = 0
    return View(tuple(rows), total, cut_at is not None, more, counts.told(), counted, cut_at)


def _by_words(index: SampleIndex, query: Query, clock: Clock, ids: Sequence[str] | None) -> View:
    from lance.query import FullTextOperator, MatchQuery

    asked = MatchQuery(query.text, "text", operator=FullTextOperator.AND)
    parts, cut_at, bounded = [], None, False
    counts = _Counts(query)
    columns = list(dict.fromkeys([*_CARD, *counts.columns]))
    for source, dataset, where in _datasets(index, query, ids):
        if clock.over:
            cut_at = source
            break
        part = dataset.scanner(
            columns=[*columns, "_score"], filter=where, prefilter=True, full_text_query=asked, limit=HITS
        ).to_table()
        bounded = bounded or part.num_rows == HITS
        if part.num_rows:
            parts.append(pl.DataFrame(pl.from_arrow(part)))
    if not parts:
        return View(cut_at=cut_at, bounded=cut_at is not None)
    found = pl.concat(parts).sort(["_score", "sample_id"], descending=[True, False])
    best = found.head(HITS)
    for (source,), part in best.group_by("source", maintain_order=True):
        counts.add(str(source), part)
    start = query.page * PAGE_ROWS
    rows = best.slice(start, PAGE_ROWS).rename({"_score": "score"}).select(*_CARD, "score").to_dicts()
    bounded = bounded or cut_at is not None
    return View(
        tuple(rows),
        found.height,
        bounded,
        best.height > start + PAGE_ROWS,
        counts.told(),
        best.height,
        cut_at,
    )


@dataclass(frozen=True, slots=True)
class Near:
    """Samples like one, the nearest first; ``distance`` is in their rows."""

    sample: Row
    pictures: tuple[Row, ...]  #: ``distance``: bits of 320 in which the hashes of the first pictures differ
    questions: tuple[Row, ...]  #: ``likeness``: words in common over words of both (Jaccard)
    cut_at: str | None = None


def near(index: SampleIndex, query: Query, clock: Clock) -> Near | None:
    """The nearest pictures and questions of a sample among those that match; None where it is not indexed.

    Pictures are compared by their dHash and pHash, all of them. Questions are compared by their words, those
    that BM25 ranks first in each source.
    """
    own = index.open(query.near.rsplit("-", 1)[0])
    where = f"sample_id = {quoted(query.near)}"
    columns = [*_CARD, "picture", "question"]
    found = own.scanner(columns=columns, filter=where, limit=1).to_table().to_pylist() if own else []
    if not found:
        return None
    sample = found[0]
    pictures: list[Row] = []
    questions: list[Row] = []
    words = _words(sample["question"])
    cut_at = None
    for source, dataset, where_ in _datasets(index, query, None):
        if clock.over:
            cut_at = source
            break
        others = f"sample_id <> {quoted(query.near)}" + (f" AND {where_}" if where_ else "")
        if sample["picture"] is not None:
            pictures += _near_pictures(dataset, sample["picture"], others)
        if words:
            questions += _near_questions(dataset, words, others)
    pictures.sort(key=lambda r: (r["distance"], r["sample_id"]))
    questions.sort(key=lambda r: (-r["likeness"], r["sample_id"]))
    return Near(sample, tuple(pictures[:NEAREST]), tuple(questions[:NEAREST]), cut_at)


def _near_pictures(dataset: Any, picture: Sequence[int], where: str) -> Iterator[Row]:
    nearest = {
        "column": "picture",
        "q": np.asarray(picture, np.uint8),
        "k": NEAREST,
        "metric": "hamming",
        "use_index": False,
    }
    columns = [*_CARD, "_distance"]
    scanner = dataset.scanner(
        columns=columns, filter=f"picture IS NOT NULL AND {where}", prefilter=True, nearest=nearest
    )
    for row in scanner.to_table().to_pylist():
        yield row | {"distance": int(row["_distance"])}


def _near_questions(dataset: Any, words: frozenset[str], where: str) -> Iterator[Row]:
    from lance.query import MatchQuery

    asked = MatchQuery(" ".join(sorted(words)), "text")
    columns = [*_CARD, "question", "_score"]
    scanner = dataset.scanner(
        columns=columns, filter=where, prefilter=True, full_text_query=asked, limit=CANDIDATES
    )
    for row in scanner.to_table().to_pylist():
        others = _words(row["question"])
        yield row | {"likeness": len(words & others) / len(words | others) if others else 0.0}


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.replace("<image>", " ").casefold()))


def _datasets(
    index: SampleIndex, query: Query, ids: Sequence[str] | None
) -> Iterator[tuple[str, Any, str | None]]:
    """Each source that may have matches, and the filter to ask it with."""
    by_source: dict[str, list[str]] = {}
    for sample_id in ids or ():
        by_source.setdefault(sample_id.rsplit("-", 1)[0], []).append(sample_id)
    names = index.sources() if ids is None else sorted(by_source)
    for name in names:
        if query.source and name != query.source:
            continue
        dataset = index.open(name)
        if dataset is None:
            continue
        tests = [query.filter] if query.filter else []
        if ids is not None:
            tests.append(f"sample_id IN ({', '.join(map(quoted, by_source[name]))})")
        yield name, dataset, " AND ".join(tests) or None


class _Counts:
    """How matches fall under each filter."""

    def __init__(self, query: Query) -> None:
        self._stage = query.stage if query.stage in STAGES else ""
        self._found: dict[str, Counter[str]] = {name: Counter() for name in _FACETS}
        decided = [] if self._stage else ["verdict", "reason"]
        self.columns = ["history", *decided, "question_type", "language", "licence", "tags", "findings"]

    def add(self, source: str, part: pl.DataFrame) -> None:
        self._found["source"][source] += part.height
        history = part["history"].explode().drop_nulls()
        self._add("stage", history.filter(history.is_in(STAGES)))
        for name in ("question_type", "language", "licence"):
            self._add(name, part[name])
        for name, column in (("tag", "tags"), ("finding", "findings")):
            self._add(name, part[column].explode().drop_nulls())
        if self._stage:
            self._add_decided(history)
        else:
            for name in ("verdict", "reason"):
                self._add(name, part[name])

    def _add_decided(self, history: pl.Series) -> None:
        prefix = f"{self._stage} "
        told = history.filter(history.str.starts_with(prefix)).str.strip_prefix(prefix)
        verdict = told.is_in([KEEP, DROP, QUARANTINE])
        self._add("verdict", told.filter(verdict))
        self._add("reason", told.filter(~verdict))

    def _add(self, name: str, values: pl.Series) -> None:
        counted = values.drop_nulls().value_counts()
        self._found[name].update(dict(counted.iter_rows()))

    def told(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """The values of each filter that occur, the most frequent first."""
        ranked = {
            n: sorted(c.items(), key=lambda v: (-v[1], v[0]))[:SHOWN_VALUES] for n, c in self._found.items()
        }
        ranked["stage"].sort(key=lambda found: STAGES.index(found[0]))
        return {name: values for name, values in ranked.items() if values}
