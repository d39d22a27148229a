"""Everything that the tables know of one sample, kept or not, read or written: its passport."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, Literal

from infinity_assets.lineage.exports import Line, lines_of, planned
from infinity_assets.lineage.ids import IMAGE_ID, SAMPLE_ID
from infinity_assets.lineage.limits import Limit, limits_of, picture_limits, settings_of
from infinity_assets.lineage.reader import Found, Reader, parallel
from infinity_assets.lineage.tables import READ_ON, WRITTEN_ON
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN, SYNTHESIS_QA, SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.shards import TableSpec
from infinity_assets.store.tables import Published, Store

Kind = Literal["read", "written", "line", "gone"]

READERS: Final = 4  #: parts that the ledgers of other sources are read in
THREADS: Final = 16  #: that read tables, for all who ask at once

ANY: Final = ""  #: source

SHOWN: Final = 50  #: edges, pictures and lines that a passport has of each


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage wrote about a sample."""

    stage: str
    partition: str
    row: Mapping[str, Any]  #: of the stage's table: measures, verdict, reason, detail
    limits: tuple[Limit, ...]  #: rules that it was held against, of the policy that decided
    settings: Mapping[str, Any]  #: of that policy, where they are not limits of one measure
    made_in: str  #: the run that made the row; empty in tables of before runs were kept with rows
    made_by: str  #: code version of the stage then
    published_in: str  #: the run of the published version, which need not have touched the row
    version: int  #: of Lance
    data_version: str

    @property
    def verdict(self) -> str:
        """Keep where the stage decides nothing."""
        return str(self.row.get("verdict", KEEP))

    @property
    def reason(self) -> str | None:
        """Why it is not kept."""
        return self.row.get("reason")

    @property
    def detail(self) -> str | None:
        """What lies behind the verdict."""
        return self.row.get("detail")


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of the duplicate ledger."""

    row: Mapping[str, Any]
    later: bool  #: whether the sample is the later of the two, which may drop by it
    other_id: str


@dataclass(frozen=True, slots=True)
class Passport:
    """The story of one id."""

    sample_id: str
    source: str
    kind: Kind
    row: Mapping[str, Any]  #: of ``unified``, ``synthesized`` or ``synthesis_qa``; empty where it is gone
    steps: tuple[Step, ...]  #: in pipeline order, the mixes last
    file: Mapping[str, Any] | None = None  #: of ``raw``: path, content hash, upstream revision
    pictures: tuple[Mapping[str, Any], ...] = ()  #: rows of ``images`` for ``media``, in order; empty if none
    picture_limits: tuple[tuple[Limit, ...], ...] = ()  #: that each of them was held against
    written: tuple[str, ...] = ()  #: conversations that were written about it
    edges: tuple[Edge, ...] = ()  #: deciding ones first
    lines: tuple[Mapping[str, Any], ...] = ()  #: of a written sample: plan and result of each exchange
    exports: tuple[Line, ...] = ()
    used_by: tuple[str, ...] = field(default=())  #: of a line: the conversations that it is in

    @property
    def ending(self) -> Step:
        """The step that dropped the sample, else its last one before the mixes."""
        decided = [s for s in self.steps if s.stage != MIXED.name] or list(self.steps)
        return next((s for s in decided if s.verdict != KEEP), decided[-1])


def passport(store: Store, sample_id: str) -> Passport | None:
    """The passport of a sample, or of a planned line of synthesis; None where no table has the id.

    Args:
        store: the tables.
        sample_id: ``<source>-<32 hex digits>``; anything else is in no table.
    """
    match = SAMPLE_ID.fullmatch(sample_id)
    if match is None:
        return None
    reader = Reader(store, _pool())
    told = (tell(reader, match[1], sample_id) for tell in (_read, _written, _line, _gone))
    return next((found for found in told if found is not None), None)


@cache
def _pool() -> ThreadPoolExecutor:
    """Its threads stay: to start them anew for each passport costs as much as a look-up."""
    return ThreadPoolExecutor(THREADS, "passport")


def _read(reader: Reader, source: str, sample_id: str) -> Passport | None:
    first = _first(reader, UNIFIED, source, _is(UNIFIED, sample_id))
    if first is None:
        return None
    steps = [_step(reader, first)]
    later = _later(reader, first, sample_id, [first.table], READ_ON) if steps[0].verdict == KEEP else iter(())
    own = reader.start(_own_edges, reader, source, sample_id, first)
    pictures = reader.start(_pictures, reader, source, first.row["media"])
    file = reader.start(_file, reader, source, first.row["locator"]["file"])
    written = reader.start(_talks, reader, source, "parent_ids", sample_id)
    edges = _edges(reader, source, sample_id)
    steps += later
    mixes, exports = _mixes(reader, source, sample_id, steps)
    return Passport(
        sample_id,
        source,
        "read",
        first.row,
        (*steps, *mixes),
        file=file.result(),
        written=written.result(),
        **_shown(pictures.result()),
        edges=_sorted([*own.result(), *edges]),
        exports=exports,
    )


def _written(reader: Reader, source: str, sample_id: str) -> Passport | None:
    first = _first(reader, SYNTHESIZED, source, _is(SYNTHESIZED, sample_id))
    if first is None:
        return None
    unified = reader.published(UNIFIED, source)
    origins = [table for table in (unified, first.table) if table is not None]
    steps = [_step(reader, first), *_later(reader, first, sample_id, origins, WRITTEN_ON)]
    mixes, exports = _mixes(reader, source, sample_id, steps)
    ids = first.row["line_ids"][:SHOWN]
    return Passport(
        sample_id,
        source,
        "written",
        first.row,
        (*steps, *mixes),
        **_shown(_pictures(reader, source, first.row["media"])),
        lines=_lines(reader, source, ids, first),
        exports=exports,
    )


def _line(reader: Reader, source: str, line_id: str) -> Passport | None:
    """A planned question, which the same form of id names; it need not have come to anything."""
    where = f"line_id = '{line_id}'"
    planned_, asked = (_first(reader, spec, source, where) for spec in (SYNTHESIS_PLAN, SYNTHESIS_QA))
    found = asked or planned_
    if found is None:
        return None
    medium = {"kind": "image", "ref": None, "embedded": False, "image_id": found.row["image_id"]}
    row = {**(planned_.row if planned_ else {}), **(asked.row if asked else {}), "media": [medium]}
    return Passport(
        line_id,
        source,
        "line",
        row,
        tuple(_step(reader, part) for part in (planned_, asked) if part is not None),
        **_shown(_pictures(reader, source, row["media"])),
        lines=(row,),
        used_by=_talks(reader, source, "line_ids", line_id),
    )


def _gone(reader: Reader, source: str, sample_id: str) -> Passport | None:
    """An id that the samples no longer have, while a later table still does: it was not made again yet."""
    found = [_first(reader, spec, source, _is(spec, sample_id)) for spec in READ_ON]
    steps = [_step(reader, one) for one in found if one is not None]
    mixes, exports = _mixes(reader, source, sample_id, steps)
    if not steps and not mixes:
        return None
    return Passport(sample_id, source, "gone", {"sample_id": sample_id}, (*steps, *mixes), exports=exports)


def _later(
    reader: Reader, first: Found, sample_id: str, origins: Sequence[Published], specs: Sequence[TableSpec]
) -> Iterator[Step]:
    """Steps after the first: one fragment of each table, or the whole of one that lies otherwise.

    All tables are asked at once, before the first step is taken.
    """
    place = first.place + sum(len(o.shards) for o in origins if o is not first.table)

    def ask(spec: TableSpec) -> list[Found]:
        table = reader.published(spec, first.table.partition)
        if table is None:
            return []
        if _lies(table, origins, first):
            return reader.later(spec, first, place, sample_id)
        return reader.find(spec, table.partition, _is(spec, sample_id))

    asked = [reader.start(ask, spec) for spec in specs]
    return _steps(reader, (one for answer in asked for one in answer.result()))


def _steps(reader: Reader, rows: Iterable[Found]) -> Iterator[Step]:
    """Up to the one that did not keep the sample: what lies in tables behind it is of before."""
    scores: Mapping[str, Any] = {}
    for found in rows:
        if found.table.table is SCORED:
            scores = found.row
        step = _step(reader, found, scores)
        yield step
        if step.verdict != KEEP:
            return


def _lies(table: Published, origins: Sequence[Published], first: Found) -> bool:
    """Whether a table's shards are those of its origins; those of what was written may follow."""
    if parallel(table, origins):
        return True
    made = table.inputs.get(first.table.table.name) == first.table.data_version
    return made and first.table.table is UNIFIED and len(table.shards) >= len(first.table.shards)


def _step(reader: Reader, found: Found, scores: Mapping[str, Any] | None = None) -> Step:
    table, shard = found.table, found.shard
    return Step(
        table.table.name,
        table.partition,
        found.row,
        tuple(limits_of(reader, table, found.row, scores or {})),
        settings_of(reader, table, found.row),
        shard.run_id,
        shard.code_version,
        table.run_id,
        table.version,
        table.data_version,
    )


def _mixes(
    reader: Reader, source: str, sample_id: str, steps: Sequence[Step]
) -> tuple[list[Step], tuple[Line, ...]]:
    """What plans made of the sample; a sample that was dropped before can only be in one that is behind."""
    kept = all(step.verdict == KEEP for step in steps)
    filtered = reader.published(FILTERED, source)

    def of(mixed: Published) -> tuple[list[Step], list[Line]]:
        behind = filtered is None or mixed.inputs[f"{FILTERED.name}/{source}"] != filtered.data_version
        if not kept and not behind:
            return [], []
        found = reader.find(MIXED, mixed.partition, _is(MIXED, sample_id))
        lines = (lines_of(reader, mixed, sample_id, f.row["positions"][:SHOWN]) for f in found)
        return [_step(reader, one) for one in found], [line for some in lines for line in some]

    told = reader.together(of, planned(reader, source))
    return [step for steps, _ in told for step in steps], tuple(line for _, lines in told for line in lines)


def _file(reader: Reader, source: str, path: str | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    table = reader.published(RAW, source)
    if table is None:
        return None
    quoted = path.replace("'", "''")
    where = f"path = '{quoted}' AND root = 'records'"
    found = reader.remembered(table, where, lambda: _first(reader, RAW, source, where))
    return found.row if found else None


def _pictures(
    reader: Reader, source: str, media: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    wanted = list(dict.fromkeys(m["image_id"] for m in media[:SHOWN] if m["image_id"]))
    known = {}
    if wanted:
        ids = ", ".join(f"'{i}'" for i in wanted if IMAGE_ID.fullmatch(i))
        rows = reader.find(IMAGES, source, f"image_id IN ({ids})", limit=len(wanted))
        known = {found.row["image_id"]: found.row for found in rows}
    return tuple(known.get(m["image_id"], {}) for m in media[:SHOWN])


def _shown(pictures: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    """Pictures and their limits, as fields of a passport."""
    return {"pictures": pictures, "picture_limits": tuple(tuple(picture_limits(p)) for p in pictures)}


def _talks(reader: Reader, source: str, column: str, wanted: str) -> tuple[str, ...]:
    """Conversations that were written of a line, or about a sample."""
    found = reader.find(SYNTHESIZED, source, f"array_has({column}, '{wanted}')", limit=SHOWN)
    return tuple(talk.row["sample_id"] for talk in found)


def _own_edges(reader: Reader, source: str, sample_id: str, first: Found) -> list[Edge]:
    """Edges to earlier samples: they lie with the sample."""
    ledger = reader.published(DUPLICATE_LEDGER, source)
    if ledger is None or not ledger.shards or not reader.may_hold(ledger, "sample_id", sample_id):
        return []
    there = first.place if len(ledger.shards) == len(first.table.shards) else None
    own = reader.find(DUPLICATE_LEDGER, source, f"sample_id = '{sample_id}'", SHOWN, there)
    return [Edge(found.row, True, found.row["winner_id"]) for found in own]


def _edges(reader: Reader, source: str, sample_id: str) -> list[Edge]:
    """Edges to later samples: they lie with these, in any source."""

    def later(names: Sequence[str]) -> list[Found]:
        found: list[Found] = []
        for name in names:
            theirs = reader.published(DUPLICATE_LEDGER, name)
            if theirs is None:
                continue
            earlier = reader.remembered(theirs, "winner_sources", partial(_earlier, theirs))
            if {source, ANY} & earlier and reader.may_hold(theirs, "winner_id", sample_id):
                found += reader.find(DUPLICATE_LEDGER, name, f"winner_id = '{sample_id}'", SHOWN)
        return found

    names = reader.store.names(DUPLICATE_LEDGER)
    parts = [names[i::READERS] for i in range(READERS)]
    return [
        Edge(one.row, False, one.row["sample_id"]) for part in reader.together(later, parts) for one in part
    ]


def _sorted(edges: list[Edge]) -> tuple[Edge, ...]:
    """Deciding ones first."""
    edges.sort(key=lambda e: (not e.row["decides"], not e.later, e.row["edge_id"]))
    return tuple(edges[:SHOWN])


def _earlier(ledger: Published) -> frozenset[str]:
    """Sources that some edge may lead to; ``ANY`` among them where an older shard does not say."""
    return frozenset(
        name for shard in ledger.shards if shard.rows for name in shard.stats.get("winner_sources", [ANY])
    )


def _lines(
    reader: Reader, source: str, line_ids: Sequence[str], first: Found
) -> tuple[Mapping[str, Any], ...]:
    """Plan and result of each exchange as one row, in order."""
    quoted = ", ".join(f"'{i}'" for i in line_ids if SAMPLE_ID.fullmatch(i))
    where = f"line_id IN ({quoted})"
    known: dict[str, dict[str, Any]] = {line_id: {"line_id": line_id} for line_id in line_ids}
    asked = reader.published(SYNTHESIS_QA, source)
    beside = asked is not None and len(asked.shards) == len(first.table.shards)
    plan = reader.find(SYNTHESIS_PLAN, source, where, limit=len(line_ids))
    done = reader.find(SYNTHESIS_QA, source, where, len(line_ids), first.place) if beside else []
    if len(done) < len(line_ids):  # the lines were cut otherwise than the conversations
        done = reader.find(SYNTHESIS_QA, source, where, limit=len(line_ids))
    for found in (*plan, *done):
        known[found.row["line_id"]] |= found.row
    return tuple(known.values())


def _first(reader: Reader, spec: TableSpec, source: str, where: str) -> Found | None:
    return next(iter(reader.find(spec, source, where)), None)


def _is(spec: TableSpec, sample_id: str) -> str:
    """Only after the id was checked: it needs no quoting."""
    return f"{spec.key} = '{sample_id}'"
