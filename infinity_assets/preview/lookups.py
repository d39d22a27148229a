"""What the pages show, read from the published tables. Reads are bounded in rows; ids are checked before."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.lineage.columns import EVERY
from infinity_assets.lineage.ids import IMAGE_ID, SAMPLE_ID
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import Counts, count, kept_checks
from infinity_assets.stages.scored.schema import AXES
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.tables import Published, Store, TableSpec

REASON: Final = re.compile(r"[a-z0-9_]{1,64}")
NAME: Final = re.compile(r"[a-z0-9_]{1,64}")
RUN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
VERDICT: Final = re.compile(r"keep|drop|quarantine")

#: Tables in pipeline order, by the name that the Dagster UI shows; those about benchmarks are not listed.
TABLES: Final[Mapping[str, TableSpec]] = {
    table.name: table for table in EVERY if table.name not in ("benchmark_fingerprints", "contamination")
}

PAGE_ROWS = 50
MAX_PAGE = 2_000  #: the last page that can be asked for: 100,000 rows in
IMAGE_COLUMNS: Final = (
    "image_id",
    "byte_length",
    "format",
    "width",
    "height",
    "frames",
    "blur",
    "entropy",
    "low_detail",
    "verdict",
    "reason",
    "detail",
)
_PLAIN_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "raw": ("path", "root", "bytes", "content_hash", "error"),
    "synthesis_plan": ("instruction_l3", "image_id", "score", "chosen_by", "style"),
    "synthesis_qa": ("instruction_l3", "style", "question", "answer", "judge_score", "verdict", "reason"),
    "scored": ("sample_id", "loss", *AXES, "loss_problem", "ratings_problem"),
    "tag_associations": ("level", "instruction", "image_tag", "count", "tfidf", "pmi"),
    "duplicate_ledger": ("sample_id", "winner_id", "kind", "distance"),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a table."""

    table: Published
    counts: Counts
    rows: tuple[Mapping[str, Any], ...]
    more: bool  #: whether there is a next page


@dataclass(frozen=True, slots=True)
class CheckPage:
    """One check of one run, and the rows that failed it."""

    name: str
    told: str  #: what was promised, and what was found
    passed: bool
    blocking: bool
    failed_rows: int
    run_id: str
    at: str  #: when, in ISO 8601
    rows: tuple[Mapping[str, Any], ...]  #: as :func:`list_rows` gives them; of an unknown id the id alone


@dataclass(frozen=True, slots=True)
class Cell:
    """One published partition, for the index."""

    stage: str
    partition: str
    counts: Counts
    version: int


def list_rows(
    store: Store, stage: str, partition: str, verdict: str | None, reason: str | None, page: int
) -> Listing | None:
    """One page of a stage's table in source order; None if it was never published.

    Rows of sample tables with a verdict carry ``text`` (the first turn, cut) and ``image_id`` (the first
    picture) of ``unified``.
    """
    spec = TABLES.get(stage)
    published = store.published(spec, partition) if spec else None
    if spec is None or published is None:
        return None
    has_verdict = "verdict" in spec.schema.names
    tests = [f"verdict = '{verdict}'"] if verdict and has_verdict else []
    tests += [f"reason = '{reason}'"] if reason and has_verdict else []
    columns: Sequence[str] = _PLAIN_COLUMNS.get(stage, ("sample_id", "verdict", "reason", "detail"))
    if stage == IMAGES.name:
        columns = IMAGE_COLUMNS
    scanner = published.dataset().scanner(
        columns=list(columns),
        filter=" AND ".join(tests) or None,
        limit=PAGE_ROWS + 1,
        offset=page * PAGE_ROWS,
    )
    rows = scanner.to_table().to_pylist()
    more, rows = len(rows) > PAGE_ROWS, rows[:PAGE_ROWS]
    if spec.key == "sample_id" and has_verdict:
        rows = _with_heads(store, rows)
    return Listing(published, count(published.shards, published.rows), tuple(rows), more)


def find_check(store: Store, table: str, partition: str, name: str, run_id: str | None) -> CheckPage | None:
    """What a run's check found, and its failing rows as they are published now; None where it is not kept.

    Args:
        store: the tables.
        table: that was checked.
        partition: of it.
        name: of the check, as its contract has it.
        run_id: of the run; the last one that looked by default.
    """
    runs = [r for r in kept_checks(store, table, partition) if run_id is None or r["run_id"] == run_id]
    found = next((c for r in runs[-1:] for c in r["checks"] if c["name"] == name), None)
    if found is None:
        return None
    ids = found["failing_ids"]
    spec = TABLES.get(table)
    known: dict[str, Mapping[str, Any]] = {}
    if spec is not None and spec.key == "sample_id" and ids:
        columns = [c for c in ("sample_id", "verdict", "reason", "detail") if c in spec.schema.names]
        for row in _rows(store, spec, partition, f"sample_id IN ({_quoted(ids)})", len(ids), columns):
            known[row["sample_id"]] = row
    rows = [{"sample_id": i, **known.get(i, {})} for i in ids]
    samples = iter(_with_heads(store, [row for row in rows if SAMPLE_ID.fullmatch(row["sample_id"])]))
    told = [next(samples) if SAMPLE_ID.fullmatch(row["sample_id"]) else row for row in rows]
    run = runs[-1]
    return CheckPage(
        name,
        found["told"],
        found["passed"],
        found["blocking"],
        found["failed_rows"],
        run["run_id"],
        run["at"],
        tuple(told),
    )


def find_image(store: Store, source: str, image_id: str) -> Mapping[str, Any] | None:
    """A picture that was decoded once: its bytes, format, width and height; None where there is none."""
    where = f"image_id = '{image_id}' AND verdict = '{KEEP}'"
    found = _rows(store, IMAGES, source, where, 1, ["image_id", "bytes", "format", "width", "height"])
    return found[0] if found and found[0]["bytes"] is not None else None


def overview(store: Store, stages: Sequence[str]) -> list[Cell]:
    """Every published partition of these tables."""
    cells = []
    for spec in (TABLES[name] for name in stages):
        for partition in store.partitions(spec):
            published = store.published(spec, partition)
            if published is not None:
                counts = count(published.shards, published.rows)
                cells.append(Cell(spec.name, partition, counts, published.version))
    return cells


def thumbnail(row: Mapping[str, Any], width: int) -> bytes:
    """A WebP of at most ``width`` pixels across, upright, of the first frame.

    Args:
        row: of :func:`find_image`; it passed the limits of ``images`` when it was first decoded.
        width: in pixels.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(row["bytes"]), formats=[row["format"].upper()]) as image:
        image.draft("RGB", (width, width))
        upright = ImageOps.exif_transpose(image)
        alpha = "A" in upright.getbands() or "transparency" in upright.info
        picture = upright.convert("RGBA" if alpha else "RGB")
    picture.thumbnail((width, width * 4))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()


def _rows(
    store: Store, spec: TableSpec, partition: str, where: str, limit: int, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    published = store.published(spec, partition)
    if published is None:
        return []
    scanner = published.dataset().scanner(columns=columns, filter=where, limit=limit)
    rows: list[dict[str, Any]] = scanner.to_table().to_pylist()
    return rows


def conversations(store: Store, sample_ids: Sequence[str]) -> dict[str, list[Mapping[str, str]]]:
    """The turns of samples by id, those of system left out; of an id that is published nowhere nothing."""
    return {
        sample_id: [turn for turn in row["turns"] if turn["role"] != "system"]
        for sample_id, row in _heads(store, sample_ids).items()
    }


def _heads(store: Store, sample_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    by_source: dict[str, list[str]] = {}
    for sample_id in sample_ids:
        by_source.setdefault(sample_id.rsplit("-", 1)[0], []).append(sample_id)
    columns = ["sample_id", "turns", "image_ids"]
    heads: dict[str, dict[str, Any]] = {}
    for source, ids in by_source.items():
        for spec in (UNIFIED, SYNTHESIZED):
            for row in _rows(store, spec, source, f"sample_id IN ({_quoted(ids)})", len(ids), columns):
                heads[row["sample_id"]] = row
    return heads


def _with_heads(store: Store, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add each sample's first turn and its first picture, if that can be shown; a mix has many sources."""
    heads = _heads(store, [row["sample_id"] for row in rows])
    firsts = [head["image_ids"][0] for head in heads.values() if head["image_ids"]]
    sources = {row["sample_id"].rsplit("-", 1)[0] for row in rows}
    shown = {source: _decoded(store, source, firsts) for source in sources}
    result = []
    for row in rows:
        head = heads.get(row["sample_id"], {"turns": [], "image_ids": []})
        text = next((t["text"] for t in head["turns"] if t["role"] != "system"), "")
        source = row["sample_id"].rsplit("-", 1)[0]
        image = next((i for i in head["image_ids"][:1] if i in shown[source]), None)
        result.append({**row, "source": source, "text": text[:240], "image_id": image})
    return result


def _decoded(store: Store, source: str, image_ids: Sequence[str]) -> set[str]:
    """Those of a source's pictures that can be shown."""
    if not image_ids:
        return set()
    where = f"image_id IN ({_quoted(image_ids)}) AND verdict = '{KEEP}'"
    return {row["image_id"] for row in _rows(store, IMAGES, source, where, len(image_ids), ["image_id"])}


def _quoted(ids: Sequence[str]) -> str:
    return ", ".join(f"'{i}'" for i in ids if SAMPLE_ID.fullmatch(i) or IMAGE_ID.fullmatch(i))
