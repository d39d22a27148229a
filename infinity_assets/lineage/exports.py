"""Where the lines of a plan stand: file and place within it, for every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infinity_assets.lineage.reader import Reader
from infinity_assets.sources.model import TRAINING_STAGES
from infinity_assets.stages.exported.formats import EXPORTERS
from infinity_assets.stages.exported.schema import exported_spec
from infinity_assets.stages.exported.tars import TarFormat
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.store.tables import Published


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an export that holds a sample."""

    format: str
    training_stage: str
    folder: str
    export_id: str
    file: str  #: in the folder
    line: int  #: in the file, from 0: element of the array, row of the table, or key of the archive
    member: str | None  #: of an archive
    key: str  #: the line's id: the sample's, with -1, -2, ... from the second reading on
    position: int  #: in the plan
    run_id: str


def lines_of(reader: Reader, mixed: Published, sample_id: str, positions: Sequence[int]) -> Iterator[Line]:
    """The lines of a sample in every export of the published plan; an export of an earlier plan has none.

    Args:
        reader: the tables.
        mixed: the published plan of a training stage.
        sample_id: of the sample.
        positions: its lines in the plan, as ``mixed`` has them.
    """
    if not positions:
        return
    for name, form in EXPORTERS.items():
        spec = exported_spec(name)
        export = reader.published(spec, mixed.partition)
        if export is None or export.notes.get("plan_hash") != mixed.notes["plan_hash"]:
            continue
        where = " OR ".join(f"(first <= {p} AND last >= {p})" for p in positions)
        files = reader.find(spec, mixed.partition, where, limit=len(positions))
        for reading, position in enumerate(positions):
            key = sample_id if reading == 0 else f"{sample_id}-{reading}"
            for found in files:
                row = found.row
                if row["first"] <= position <= row["last"]:
                    yield Line(
                        name,
                        mixed.partition,
                        str(export.notes["folder"]),
                        str(export.notes["export_id"]),
                        row["file"],
                        position - row["first"],
                        f"{key}.json" if isinstance(form, TarFormat) else None,
                        key,
                        position,
                        export.run_id,
                    )


def planned(reader: Reader, source: str) -> Iterator[Published]:
    """Plans that a source takes part in, in the order of the training stages."""
    for stage in TRAINING_STAGES:
        mixed = reader.published(MIXED, stage)
        if mixed is not None and f"filtered/{source}" in mixed.inputs:
            yield mixed
